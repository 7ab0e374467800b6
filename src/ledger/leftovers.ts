import { open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import { isKnownChain } from '../../db/chains.ts'
import type { Database, Log } from '../../db/connect.ts'
import { Backlog } from './backlog.ts'
import { finishChain } from './finish-chain.ts'
import type { Tip } from './hash-chain.ts'
import { HEARTBEAT_MS, isOwned, listSegments } from './segment.ts'
import type { Chain, Segment } from './segment.ts'
import { Shipper } from './shipper.ts'
import type { Progress } from './spool-tail.ts'

export interface LeftoversOptions {
  readonly directory: string
  /** The chain of this process: not a leftover. */
  readonly own: Chain
  readonly database: Pick<Database, 'db' | 'pool'>
  readonly log: Log
  /** Told of each chain that is complete, and where it ends. */
  readonly onFinished: (chain: Chain, tip: Tip) => void
}

/** What earlier processes left in the spool: shipped in the background, each chain finished, its files deleted. */
export class Leftovers {
  readonly #options: LeftoversOptions
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #waiting: Progress[][] = []
  #shipper: Shipper | undefined

  constructor (options: LeftoversOptions) {
    this.#options = options
    this.#done = this.#run()
  }

  /** What is not in the database yet. */
  get lag (): { readonly records: number, readonly bytes: number } {
    let { records, bytes } = this.#shipper?.lag ?? { records: 0, bytes: 0 }
    for (const { segment, last, end } of this.#waiting.flat()) {
      records += last - segment.first + 1
      bytes += end - segment.start
    }
    return { records, bytes }
  }

  /** Resolves when nothing is left, or after `close`. */
  get done (): Promise<void> {
    return this.#done
  }

  async close (): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  /** Looks again while another process still seems to own what lies there: it may have died a moment ago. */
  async #run (): Promise<void> {
    const { log } = this.#options
    while (!this.#stop.signal.aborted) {
      try {
        const { abandoned, owned } = this.#find()
        await this.#drainAll(abandoned)
        if (!owned) return
      } catch (error) {
        log.error({ err: error }, 'records of earlier processes cannot be read from the spool')
      }
      await sleep(HEARTBEAT_MS, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {})
    }
  }

  #find (): { abandoned: Segment[][], owned: boolean } {
    const { directory, own, log } = this.#options
    const chains = new Map<string, Segment[]>()
    for (const segment of listSegments(directory, path => log.warn({ path }, 'a file in the spool is not a segment; it stays where it is'))) {
      if (segment.chain.id !== own.id) chains.set(segment.chain.id, [...chains.get(segment.chain.id) ?? [], segment])
    }
    // The newest segment is the one whose heartbeat goes on.
    const groups = [...chains.values()]
    const abandoned = groups.filter(segments => !segments.some(isOwned))
    return { abandoned, owned: abandoned.length < groups.length }
  }

  async #drainAll (chains: readonly Segment[][]): Promise<void> {
    for (const segments of chains) this.#waiting.push(await measureAll(segments))
    for (let next = this.#waiting.shift(); next !== undefined && !this.#stop.signal.aborted; next = this.#waiting.shift()) await this.#drain(next)
  }

  async #drain (progresses: readonly Progress[]): Promise<void> {
    const chain = progresses[0]?.segment.chain
    if (chain === undefined) return
    const { database, log } = this.#options
    const supply = new Backlog()
    const shipper = new Shipper({ chain, supply, database, log })
    this.#shipper = shipper
    for (const progress of progresses) supply.note(progress)
    shipper.wake()
    try {
      if (!await shipper.drain(this.#stop.signal)) return
      // No record is left of a chain that never had one, and of one whose only segment had to make room.
      if (shipper.shipped === 0 && !await isKnownChain(database.db, chain.id)) return await shipper.release()
      const finished = await this.#finish(chain, shipper.tip)
      if (finished === undefined) return
      const { recovered, tip } = finished
      this.#options.onFinished(chain, tip)
      await shipper.release()
      log.warn({ chain: chain.id, records: shipper.shipped, recovered }, 'an earlier process did not close its ledger; its records are safe, calls without an outcome are marked')
    } finally {
      await shipper.close()
      this.#shipper = undefined
    }
  }

  async #finish (chain: Chain, known: Tip | undefined): Promise<Awaited<ReturnType<typeof finishChain>> | undefined> {
    while (!this.#stop.signal.aborted) {
      try {
        return await finishChain(this.#options.database, chain, known)
      } catch (error) {
        this.#options.log.warn({ err: error, chain: chain.id }, 'the ledger of an earlier process cannot be closed yet')
        await sleep(1_000, undefined, { signal: this.#stop.signal }).catch(() => {})
      }
    }
    return undefined
  }
}

/** A segment ends at its last whole line (the zeros behind it are none), or where the next one takes over. */
async function measureAll (segments: readonly Segment[]): Promise<Progress[]> {
  const progresses: Progress[] = []
  for (const [index, segment] of segments.entries()) {
    const { end, lines } = await measure(segment)
    const next = segments[index + 1]?.first ?? Infinity
    progresses.push({ segment, end, last: Math.min(segment.first + lines, next) - 1, sealed: true })
  }
  return progresses
}

async function measure ({ path, start }: Segment): Promise<{ end: number, lines: number }> {
  const handle = await open(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(1024 * 1024)
    let end = start
    let lines = 0
    for (let offset = start; ;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset)
      if (bytesRead === 0) return { end, lines }
      const chunk = buffer.subarray(0, bytesRead)
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) {
        lines++
        end = offset + at + 1
      }
      offset += bytesRead
    }
  } finally {
    await handle.close()
  }
}
