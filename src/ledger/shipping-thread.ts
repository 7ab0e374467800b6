import { setFlagsFromString } from 'node:v8'
import { Worker } from 'node:worker_threads'

import type { Log } from '../../db/connect.ts'
import type { Shipping, ShippingFacts, ShippingPlan } from './shipping.ts'
import type { Progress } from './spool-tail.ts'

/** The database as a thread can be told of it; `embedded`: its server's processes are ours. */
export interface DatabaseAddress {
  readonly url: string
  readonly embedded: boolean
}

/** What the thread is given. */
export interface ThreadData extends DatabaseAddress {
  readonly plan: ShippingPlan
}

/** To the thread. */
export type Order = { readonly note: readonly Progress[] } | { readonly finish: number } | { readonly close: true }

/** From the thread. */
export type News =
  | { readonly facts: ShippingFacts }
  | { readonly caughtUp: true }
  | { readonly finished: boolean }
  | { readonly log: 'info' | 'warn' | 'error', readonly facts: object, readonly message: string }

/** Progress is passed on this often, in milliseconds: one message for many records. */
const PASS_ON_MS = 20
/** With records on their way, the thread says how it stands at least this often. */
export const REPORT_MS = 250
/** Longer silence counts as records that are held up. */
const SILENCE_MS = 8 * REPORT_MS
/** A thread that died is replaced after this long; longer each time, until one of them ships something. */
const RESTART_MS = { first: 250, most: 30_000 }
/**
 * Young generation of the thread, in megabytes. With the one of the command line, which is made for calls, it is collected
 * so seldom that the buffers of batches pile up meanwhile, and V8 collects everything instead, twice a second.
 */
const YOUNG_MB = 6
/** The compiled file, from the sources too: to compile it anew would take each thread ten seconds. */
const SCRIPT = new URL(import.meta.url.endsWith('.ts') ? '../../dist/src/ledger/shipping-worker.js' : './shipping-worker.js', import.meta.url)

/** Ships in a thread of its own, so that a batch on its way never holds up a call. A thread that dies is replaced. */
export class ThreadedShipping implements Shipping {
  readonly caughtUp: Promise<void>
  readonly #data: ThreadData
  readonly #log: Log
  #worker: Worker | undefined
  #facts: ShippingFacts = { shipped: 0, bytes: 0, older: { records: 0, bytes: 0 }, stalledSince: 0, lastShippedAt: 0, error: undefined }
  #heardAt = Date.now()
  #noted = 0
  /** Every segment that may still hold records which are not in the database: what a new thread has to be told. */
  readonly #segments = new Map<string, Progress>()
  #unsent = new Map<string, Progress>()
  #timer: NodeJS.Timeout | undefined
  #restart: NodeJS.Timeout | undefined
  #patience = RESTART_MS.first
  #diedAt = 0
  #closing = false
  #finished: (done: boolean) => void = () => {}
  #ended: () => void = () => {}
  #caughtUp: () => void = () => {}

  constructor ({ log, address: { url, embedded }, ...plan }: ShippingPlan & { readonly address: DatabaseAddress, readonly log: Log }) {
    this.#data = { plan, url, embedded }
    this.#log = log
    this.caughtUp = new Promise(resolve => { this.#caughtUp = resolve })
    this.#start()
  }

  get facts (): ShippingFacts {
    if (this.#diedAt !== 0) return { ...this.#facts, stalledSince: this.#diedAt, error: 'the thread that ships the ledger died' }
    const silent = this.#noted > this.#facts.shipped && Date.now() - this.#heardAt > SILENCE_MS
    return silent && this.#facts.stalledSince === 0 ? { ...this.#facts, stalledSince: this.#heardAt } : this.#facts
  }

  note (progress: Progress): void {
    if (this.#noted <= this.#facts.shipped) this.#heardAt = Date.now()
    this.#noted = progress.last
    this.#segments.set(progress.segment.path, progress)
    this.#unsent.set(progress.segment.path, progress)
    this.#timer ??= setTimeout(() => this.#passOn(), PASS_ON_MS).unref()
  }

  async finish (milliseconds: number): Promise<boolean> {
    // The last chance: no waiting for the next try.
    if (this.#worker === undefined) this.#start()
    this.#passOn()
    const finished = new Promise<boolean>(resolve => { this.#finished = resolve })
    this.#send({ finish: milliseconds })
    return await finished
  }

  async close (): Promise<void> {
    this.#closing = true
    clearTimeout(this.#timer)
    clearTimeout(this.#restart)
    if (this.#worker === undefined) return
    const ended = new Promise<void>(resolve => { this.#ended = resolve })
    this.#worker.ref()
    this.#send({ close: true })
    await ended
  }

  #start (): void {
    clearTimeout(this.#restart)
    // The flag of the command line would outrank the limit. The main thread's heap was made by it long since, and keeps its size.
    setFlagsFromString('--max-semi-space-size=0')
    const worker = new Worker(SCRIPT, { workerData: this.#data, name: 'portcullis-ledger', execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } })
    worker.on('message', (news: News) => this.#hear(news))
    worker.on('error', err => this.#log.error({ err }, 'the thread that ships the ledger failed'))
    worker.once('exit', () => this.#died())
    // The gateway's own sockets keep the process alive; a ledger alone does not.
    worker.unref()
    this.#worker = worker
    if (this.#segments.size > 0) this.#send({ note: [...this.#segments.values()] })
  }

  #hear (news: News): void {
    if ('log' in news) this.#log[news.log](news.facts, news.message)
    else if ('facts' in news) this.#learn(news.facts)
    else if ('finished' in news) this.#finished(news.finished)
    else this.#caughtUp()
  }

  #learn (facts: ShippingFacts): void {
    // A new thread knows nothing until it has asked the database.
    const shipped = Math.max(facts.shipped, this.#facts.shipped)
    if (shipped > this.#facts.shipped) this.#patience = RESTART_MS.first
    this.#facts = { ...facts, shipped, lastShippedAt: facts.lastShippedAt || this.#facts.lastShippedAt }
    this.#heardAt = Date.now()
    if (shipped >= this.#noted || facts.shipped > 0) this.#diedAt = 0
    for (const [path, { sealed, last }] of this.#segments) if (sealed && last <= shipped) this.#segments.delete(path)
  }

  #passOn (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#unsent.size > 0) this.#send({ note: [...this.#unsent.values()] })
    this.#unsent = new Map()
  }

  #send (order: Order): void {
    this.#worker?.postMessage(order)
  }

  #died (): void {
    this.#worker = undefined
    this.#finished(false)
    this.#ended()
    if (this.#closing) return this.#caughtUp()
    this.#diedAt ||= Date.now()
    this.#log.error({ again: this.#patience }, 'the thread that ships the ledger ended; another takes over')
    this.#restart = setTimeout(() => this.#start(), this.#patience).unref()
    this.#patience = Math.min(this.#patience * 2, RESTART_MS.most)
  }
}
