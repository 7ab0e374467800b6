import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Exit, Hold } from './cell.ts'
import { hintFor } from './hints.ts'
import { childrenOf, descendantsOf, isAlive, noUsage, reapedSeconds, usageOf } from './processes.ts'
import type { Usage } from './processes.ts'

/**
 * The gateway's hold on the processes of one bubblewrap cell: bwrap outside → process 1 inside → the upstream.
 * When process 1 dies the kernel kills everything in its pid namespace, however it detached itself.
 */
export class ConfinedHold implements Hold {
  /** The stderr of the cell; its beginning is kept, for when the cell does not come up. */
  readonly stderr = new PassThrough()
  readonly #bwrap: ChildProcess
  readonly #reported: Promise<unknown>
  #first: number | undefined
  #hasExitCode = false
  #complaint = ''
  #killed = false

  constructor (bwrap: ChildProcess, status: Readable, stderr: Readable) {
    this.#bwrap = bwrap
    this.#reported = once(status, 'close').catch(() => {})
    this.#readStatus(status)
    stderr.on('data', (chunk: Buffer) => { if (this.#complaint.length < maxComplaint) this.#complaint += chunk.toString('utf8') })
    stderr.pipe(this.stderr)
  }

  kill (insist: boolean): void {
    this.#killed = true
    // process 1 first: bwrap then reaps it and leaves, where its own death would leave an orphan to whoever is the container's init
    const hadFirst = this.#first !== undefined && signal(this.#first, 'SIGKILL')
    if (insist || !hadFirst) this.#bwrap.kill('SIGKILL')
  }

  terminate (): void {
    const upstream = this.#first === undefined ? undefined : childrenOf(this.#first)[0]
    if (upstream === undefined) this.kill(false)
    else signal(upstream, 'SIGTERM')
  }

  isEmpty (): boolean {
    return this.#first === undefined || !isAlive(this.#first)
  }

  measure (): Usage {
    if (this.#first === undefined) return noUsage
    const usage = usageOf(descendantsOf(this.#first))
    return { ...usage, cpuSeconds: usage.cpuSeconds + reapedSeconds(this.#first) }
  }

  members (): readonly number[] {
    return this.#first === undefined ? [] : [this.#first, ...descendantsOf(this.#first)]
  }

  /** bwrap reports an exit code only for a command that ran. */
  async explain (code: number | null): Promise<Pick<Exit, 'reason' | 'detail'>> {
    await Promise.race([this.#reported, sleep(reportGraceMs, undefined, { ref: false })])
    if (this.#hasExitCode || this.#killed || code === null) return {}
    const complaint = this.#complaint.trim().split('\n')[0] ?? ''
    const hint = hintFor(this.#complaint)
    return { reason: 'sandbox', detail: `The sandbox could not be built: ${complaint}${hint === undefined ? '' : ` ${hint}`}` }
  }

  /** Two JSON documents: {"child-pid": N} when process 1 exists, {"exit-code": N} when the command has ended. */
  #readStatus (status: Readable): void {
    let text = ''
    status.on('error', () => {})
    status.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const pid = /"child-pid":\s*(\d+)/.exec(text)?.[1]
      if (pid !== undefined) this.#first = Number(pid)
      this.#hasExitCode = /"exit-code":/.test(text)
    })
  }
}

const maxComplaint = 2_048
const reportGraceMs = 250

function signal (pid: number, name: 'SIGTERM' | 'SIGKILL'): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}
