import { setTimeout as sleep } from 'node:timers/promises'

import { addCheckpoint } from '../../db/checkpoints.ts'
import type { Database, Log } from '../../db/connect.ts'
import { sendToAnchor } from './anchor.ts'
import { checkpointDigest, signCheckpoint } from './checkpoint.ts'
import type { Reason, Signer } from './checkpoint.ts'
import { appendCheckpoint, newestCheckpoint } from './checkpoint-file.ts'
import type { Tip } from './hash-chain.ts'
import type { Chain } from './segment.ts'

export interface NotaryOptions {
  /** Checkpoints are written to a file in this data directory first. */
  readonly data: string
  readonly signer: Signer
  readonly database: Pick<Database, 'db'>
  /** Address of the anchor. */
  readonly anchor?: string | undefined
  readonly log: Log
}

/** A checkpoint on its way to one place. */
interface Errand {
  readonly chain: string
  readonly seq: number
  readonly line: string
}

const RETRY_MS = 1_000
/** More than this many wait only for a place that has been away for long; of a chain the newest says all. */
const KEPT = 1_000

/** Signs heads of chains, and brings each signature to the file, the database and the anchor. */
export class Notary {
  readonly #options: NotaryOptions
  readonly #stop = new AbortController()
  readonly #places: Place[]
  #previous: string

  constructor (options: NotaryOptions) {
    const { database, anchor, data } = options
    this.#options = options
    const newest = newestCheckpoint(data)
    this.#previous = newest === '' ? '' : checkpointDigest(newest)
    this.#places = [new Place('the database', async ({ chain, seq, line }) => await addCheckpoint(database.db, chain, seq, line), options.log)]
    if (anchor !== undefined) this.#places.push(new Place('the anchor', async ({ line }) => await sendToAnchor(anchor, line, this.#stop.signal), options.log))
  }

  /** The file has it when this returns; the database and the anchor get it as soon as they can. */
  sign (chain: Chain, tip: Tip, reason: Reason): void {
    const { signer, data, log } = this.#options
    const time = new Date()
    const line = signCheckpoint(signer, chain, tip, { time, reason, previous: this.#previous })
    this.#previous = checkpointDigest(line)
    try {
      appendCheckpoint(data, time, line)
    } catch (error) {
      log.error({ err: error }, 'a checkpoint of the ledger could not be written to its file')
    }
    for (const place of this.#places) place.bring({ chain: chain.id, seq: tip.seq, line })
  }

  /** Waits until every place has everything. False: `signal` came first. */
  async settle (signal: AbortSignal): Promise<boolean> {
    const settled = Promise.all(this.#places.map(async place => await place.settled()))
    const aborted = new Promise<false>(resolve => { signal.aborted ? resolve(false) : signal.addEventListener('abort', () => resolve(false), { once: true }) })
    return await Promise.race([settled.then(() => true), aborted])
  }

  close (): void {
    this.#stop.abort()
    for (const place of this.#places) place.close()
  }
}

/** One place that checkpoints are brought to, in order, each until it arrives. */
class Place {
  readonly #name: string
  readonly #deliver: (errand: Errand) => Promise<void>
  readonly #log: Log
  readonly #stop = new AbortController()
  #waiting: Errand[] = []
  #running: Promise<void> | undefined
  #failing = false

  constructor (name: string, deliver: (errand: Errand) => Promise<void>, log: Log) {
    this.#name = name
    this.#deliver = deliver
    this.#log = log
  }

  bring (errand: Errand): void {
    if (this.#waiting.length >= KEPT) this.#waiting = [...new Map(this.#waiting.map(each => [each.chain, each])).values()]
    this.#waiting.push(errand)
    this.#running ??= this.#run().finally(() => { this.#running = undefined })
  }

  async settled (): Promise<void> {
    await this.#running
  }

  close (): void {
    this.#stop.abort()
  }

  async #run (): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined && !this.#stop.signal.aborted; next = this.#waiting[0]) {
      try {
        await this.#deliver(next)
        this.#waiting = this.#waiting.filter(errand => errand !== next)
        this.#failing = false
      } catch (error) {
        if (!this.#failing) this.#log.warn({ err: error }, `checkpoints of the ledger cannot be brought to ${this.#name}; they are in their file`)
        this.#failing = true
        await sleep(RETRY_MS, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {})
      }
    }
  }
}
