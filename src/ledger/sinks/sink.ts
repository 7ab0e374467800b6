import { setTimeout as sleep } from 'node:timers/promises'

import type { Database } from '../../../db/connect.ts'
import { advanceSink, leaseSink, releaseSink, sinkCaughtUp } from '../../../db/sinks.ts'
import type { SinkSpec } from '../../config/config.ts'
import type { Log } from '../../log.ts'
import { exportFrom } from '../export.ts'
import { formats } from '../formats.ts'
import type { Attempt } from '../query.ts'
import { postLines } from './http.ts'
import { sendSyslog } from './syslog.ts'

export interface SinkOptions {
  readonly spec: SinkSpec
  readonly database: Pick<Database, 'db'>
  /** Of this process. */
  readonly owner: string
  readonly log: Log
}

const LOOK_MS = 1_000
/** A delivery that is on its way at the end may take this long. */
const CLOSE_MS = 2_000
const BACKOFF_MS = { first: 1_000, most: 30_000 }

/**
 * Brings every attempt to one place outside, as often as it takes: the position moves behind what has arrived. It reads
 * what is in the database, so a place that is slow or away takes no memory here and holds up no call.
 */
export class Sink {
  readonly #options: SinkOptions
  readonly #stop = new AbortController()
  /** Ends a delivery that is on its way. */
  readonly #cut = new AbortController()
  readonly #running: Promise<void>
  #caughtUpAt = Date.now()
  #failing = false

  constructor (options: SinkOptions) {
    this.#options = options
    this.#running = this.#run()
  }

  /** Milliseconds since everything was there, as far as this process knows. */
  get lag (): number {
    return Date.now() - this.#caughtUpAt
  }

  /** Why calls are to wait for it; undefined when they are not. */
  get obstacle (): string | undefined {
    const { spec } = this.#options
    if (spec.onLag !== 'deny' || this.lag <= spec.maxLag) return undefined
    return `the sink ${spec.url} has been behind for ${Math.round(this.lag / 1000)} s, longer than its max_lag`
  }

  /** Idempotent. */
  async close (): Promise<void> {
    this.#stop.abort()
    const patience = setTimeout(() => this.#cut.abort(), CLOSE_MS)
    await this.#running
    clearTimeout(patience)
  }

  async #run (): Promise<void> {
    let pause = LOOK_MS
    while (!this.#stop.signal.aborted) {
      pause = await this.#bring().then(() => this.#arrived(), (error: unknown) => this.#failed(error, pause))
      await sleep(pause, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {})
    }
    const { database, spec, owner } = this.#options
    await releaseSink(database.db, spec.url, owner).catch(() => {})
  }

  async #bring (): Promise<void> {
    const { database, spec, owner } = this.#options
    const began = new Date()
    const { mine, position, caughtUpAt } = await leaseSink(database.db, spec.url, owner)
    // Another gateway is at it: what it got done counts here too. The time before this process began does not.
    this.#caughtUpAt = Math.max(this.#caughtUpAt, caughtUpAt.getTime())
    if (!mine) return
    for await (const page of exportFrom(database, new Map(Object.entries(position)))) {
      if (page.attempts.length > 0) await this.#deliver(page.attempts)
      if (!await advanceSink(database.db, spec.url, owner, Object.fromEntries(page.position)) || this.#stop.signal.aborted) return
    }
    await sinkCaughtUp(database.db, spec.url, owner, began)
    this.#caughtUpAt = began.getTime()
  }

  async #deliver (attempts: readonly Attempt[]): Promise<void> {
    const { spec: { url, format, tokenFile } } = this.#options
    const { signal } = this.#cut
    const { line, type } = formats[format]
    if (!url.startsWith('syslog')) return await postLines(url, attempts.map(line), { type, tokenFile, signal })
    const messages = attempts.map(attempt => ({ time: attempt.time, record: attempt.record, text: line(attempt).trimEnd(), severity: attempt.outcome === 'refused' ? 'warning' as const : 'informational' as const }))
    await sendSyslog(url, messages, signal)
  }

  #arrived (): number {
    if (this.#failing) this.#options.log.info({ sink: this.#options.spec.url }, 'records reach the sink again')
    this.#failing = false
    return LOOK_MS
  }

  #failed (error: unknown, pause: number): number {
    if (this.#stop.signal.aborted) return 0
    if (!this.#failing) this.#options.log.warn({ err: error, sink: this.#options.spec.url }, 'records do not reach the sink; they are sent again until they do')
    this.#failing = true
    return Math.min(BACKOFF_MS.most, Math.max(BACKOFF_MS.first, pause * 2))
  }
}
