import { setImmediate as turn } from 'node:timers/promises'
import type { Usage } from './processes.ts'
import { standBack } from './rank.ts'

/** A cell as the watchdog sees it. */
export interface Watched {
  readonly limits: { readonly memory: number, readonly processes: number, readonly nice: number }
  measure (): Usage
  /** Its processes, by the host's numbers. */
  members (): readonly number[]
  /** Ends it at once; `detail` is a sentence. */
  end (reason: 'memory' | 'processes', detail: string): void
}

/**
 * Ends cells that use more memory or processes than they may: the limits inside are per process, these are per cell.
 * And keeps those that shall stand back from getting around it.
 * One timer for all; it looks at 64 cells a second, in turn.
 */
export class Watchdog {
  readonly #watched = new Set<Watched>()
  #timer: NodeJS.Timeout | undefined
  #busy = false

  watch (cell: Watched): void {
    this.#watched.add(cell)
    this.#timer ??= setInterval(() => { this.#look().catch(() => {}) }, intervalMs).unref()
  }

  forget (cell: Watched): void {
    this.#watched.delete(cell)
    if (this.#watched.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #look (): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    try {
      for (const cell of [...this.#watched].slice(0, cellsAtOnce)) {
        judge(cell)
        if (this.#watched.delete(cell)) this.#watched.add(cell) // to the end of the queue
        await turn()
      }
    } finally {
      this.#busy = false
    }
  }
}

const intervalMs = 1_000
const cellsAtOnce = 64

function judge (cell: Watched): void {
  const { rssBytes, processes } = cell.measure()
  const { limits } = cell
  if (limits.nice > 0) standBack(cell.members(), limits.nice)
  if (rssBytes > limits.memory) cell.end('memory', `It used ${mebibytes(rssBytes)} MiB of memory; its limit is ${mebibytes(limits.memory)} MiB (sandbox.memory).`)
  else if (processes > limits.processes) cell.end('processes', `It ran ${processes} processes; its limit is ${limits.processes} (sandbox.processes).`)
}

function mebibytes (bytes: number): number {
  return Math.round(bytes / 1024 / 1024)
}
