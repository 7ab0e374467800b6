import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Database, Log } from '../../db/connect.ts'
import type { AuditSpec } from '../config/config.ts'
import { Refusal } from '../errors.ts'
import { createClock } from './clock.ts'
import { encode } from './entry.ts'
import type { Entry } from './entry.ts'
import { createRecordIds } from './record-id.ts'
import type { Unrecorded } from './gap.ts'
import { Gaps } from './gaps.ts'
import type { Done } from './journal.ts'
import { openJournal } from './open-journal.ts'
import type { Opened } from './open-journal.ts'
import { timeLeft } from './time-left.ts'
import { HEARTBEAT_MS, ownedHere } from './segment.ts'
import type { Chain } from './segment.ts'
import type { ShippingFacts } from './shipping.ts'
import type { DatabaseAddress } from './shipping-thread.ts'
import type { Io } from './segment-file.ts'

export type { Entry } from './entry.ts'

export interface Ledger {
  /** A record id: sortable, unique, cheap. */
  newRecord (): string
  /**
   * Written with the next group. Throws Refusal PORTCULLIS_LEDGER_UNAVAILABLE when the ledger cannot take records;
   * `force` is for the outcome of what has already happened, and is always taken while the ledger is open.
   */
  append (entry: Entry, options?: { readonly force?: boolean }): void
  /** `done` runs when everything appended so far is as durable as audit.durability asks; with an error nothing may be forwarded. */
  durable (done: Done): void
  /** `done` runs when everything appended so far was handed to the kernel. */
  written (done: Done): void
  /**
   * A call goes on although the ledger cannot take its record: it is counted, and the count becomes a record when that is
   * possible again. `done` runs when the count cannot be lost; with an error the call must not go on.
   */
  passUnrecorded (call: Unrecorded, done: Done): void
  readonly status: LedgerStatus
  /** Resolves when what earlier processes left behind is in the database. */
  readonly caughtUp: Promise<void>
  /** Writes, ships what it can in five seconds, closes the chain. What is left is shipped at the next start. Idempotent. */
  close (): Promise<void>
}

export interface LedgerStatus {
  /** Records that are not in the database yet, those of earlier processes included. */
  readonly lagRecords: number
  /** The same in bytes. */
  readonly lagBytes: number
  /** Unix milliseconds; undefined: nothing was shipped yet. */
  readonly lastShippedAt: number | undefined
  /** For how many milliseconds the database has not taken what it was given; 0: it takes it. */
  readonly stalledMs: number
  /** In how many milliseconds calls will be refused, should the database go on taking nothing; undefined while it takes what there is. */
  readonly leftMs: number | undefined
  /** False: calls are refused. */
  readonly healthy: boolean
  readonly reason?: string
}

export interface LedgerOptions {
  /** Data directory; the spool is in `ledger` beneath it. */
  readonly data: string
  readonly database: Pick<Database, 'db' | 'pool'>
  /** The same database: shipping gets a thread of its own. Without it this thread ships. */
  readonly thread?: DatabaseAddress
  readonly audit: Pick<AuditSpec, 'durability' | 'maxOutage' | 'spoolMax' | 'checkpointEvery' | 'anchor'> & Partial<Pick<AuditSpec, 'onFailure'>>
  /** 32 secret bytes that are not in the database: the key that signs the heads of the chains. */
  readonly seed: Buffer
  readonly log: Log
  /** Why else no new attempt may begin. */
  readonly obstacle?: () => string | undefined
  /** Name of this gateway; default the host name. */
  readonly node?: string
  /** For tests: what fails on a bad disk, and smaller files. */
  readonly io?: Io
  readonly segmentBytes?: number
}

/** Opens the ledger of this process and begins to ship what earlier ones left. Throws when the spool cannot be written. */
export function openLedger (options: LedgerOptions): Ledger {
  return new ChainedLedger(options)
}

const CLOSE_MS = 5_000
const GRACE_MS = 500
const RETRY_AFTER_SECONDS = 5

class ChainedLedger implements Ledger {
  readonly newRecord = createRecordIds()
  readonly #options: LedgerOptions
  readonly #clock = createClock()
  readonly #chain: Chain
  readonly #opened: Opened
  readonly #gaps: Gaps
  readonly #heartbeat: NodeJS.Timeout
  #closing: Promise<void> | undefined

  constructor (options: LedgerOptions) {
    const { data, audit, seed, node = hostname() } = options
    const directory = join(data, 'ledger')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#options = options
    this.#chain = { id: randomUUID(), node, openedAt: new Date() }
    ownedHere.add(this.#chain.id)
    this.#opened = openJournal(options, { data, directory, chain: this.#chain, seed, checkpointEvery: audit.checkpointEvery, anchor: audit.anchor })
    // The first record says that nothing of this chain is anywhere but in the database.
    if (audit.durability === 'database') this.append({ kind: 'gateway', record: this.newRecord(), outcome: 'ok', detail: { event: 'open', durability: audit.durability } }, { force: true })
    this.#gaps = new Gaps({
      directory,
      chain: this.#chain,
      allowed: (audit.onFailure?.allow.length ?? 0) > 0,
      durable: audit.durability !== 'os',
      newRecord: this.newRecord,
      log: options.log,
      append: entry => this.append(entry, { force: true }),
      whenDurable: done => this.durable(done),
    })
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS).unref()
  }

  get caughtUp (): Promise<void> {
    return this.#opened.shipping.caughtUp
  }

  append (entry: Entry, options?: { readonly force?: boolean }): void {
    if (options?.force !== true) {
      this.#refuseIfUnavailable()
      this.#gaps.end()
    }
    this.#opened.journal.append(lineOf(entry, this.#clock()))
  }

  durable (done: Done): void {
    this.#opened.journal.durable(done)
  }

  written (done: Done): void {
    this.#opened.journal.written(done)
  }

  passUnrecorded (call: Unrecorded, done: Done): void {
    if (this.#closing !== undefined) done(new Error('the ledger is closing'))
    else this.#gaps.pass(call, done)
  }

  get status (): LedgerStatus {
    const facts = this.#opened.shipping.facts
    const reason = this.#obstacle(facts)
    const stalledMs = facts.stalledSince === 0 ? 0 : Date.now() - facts.stalledSince
    return {
      lagRecords: this.#lag(facts) + facts.older.records,
      lagBytes: facts.bytes + facts.older.bytes,
      lastShippedAt: facts.lastShippedAt || undefined,
      stalledMs,
      leftMs: reason === undefined ? timeLeft(stalledMs, facts.bytes + facts.older.bytes, this.#options.audit) : 0,
      healthy: reason === undefined,
      ...(reason !== undefined && { reason }),
    }
  }

  close (): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Records of this chain that are written and not in the database. */
  #lag ({ shipped }: ShippingFacts): number {
    return Math.max(0, this.#opened.journal.appended - shipped)
  }

  #refuseIfUnavailable (): void {
    const { facts } = this.#opened.shipping
    const reason = this.#obstacle(facts)
    if (reason === undefined) return
    throw new Refusal('PORTCULLIS_LEDGER_UNAVAILABLE', {
      cause: new Error(reason, { cause: this.#opened.journal.error ?? facts.error }),
      data: { retryAfterMs: RETRY_AFTER_SECONDS * 1000 },
      headers: { 'retry-after': String(RETRY_AFTER_SECONDS) },
    })
  }

  /** Why no new attempt may begin. */
  #obstacle ({ stalledSince, bytes, older }: ShippingFacts): string | undefined {
    const { maxOutage, spoolMax } = this.#options.audit
    if (this.#closing !== undefined) return 'the ledger is closing'
    if (this.#opened.journal.error !== undefined) return `records cannot be written: ${this.#opened.journal.error.message}`
    if (stalledSince !== 0 && Date.now() - stalledSince > maxOutage) return `the database has not taken any record for ${Date.now() - stalledSince} ms`
    if (bytes + older.bytes > spoolMax) return `${bytes + older.bytes} bytes of records wait for the database, more than audit.spoolMax`
    return this.#options.obstacle?.()
  }

  #beat (): void {
    this.#opened.journal.touch()
    this.#gaps.touch()
    if (this.#obstacle(this.#opened.shipping.facts) === undefined) this.#gaps.end()
  }

  async #close (): Promise<void> {
    const { log } = this.#options
    clearInterval(this.#heartbeat)
    this.#gaps.end()
    const failure = await this.#opened.journal.close().then(() => undefined, (error: unknown) => error)
    this.#gaps.close()
    if (failure !== undefined) log.error({ err: failure }, 'the last records could not be written')
    const shipped = this.#opened.shipping.finish(CLOSE_MS).catch((error: unknown) => {
      log.warn({ err: error, chain: this.#chain.id }, 'the chain could not be closed')
      return false
    })
    // A database that hangs must not keep us: its connections time out much later.
    const finished = await Promise.race([shipped, sleep(CLOSE_MS + GRACE_MS, false, { ref: false })])
    const left = this.#lag(this.#opened.shipping.facts)
    if (left > 0) log.warn({ records: left }, 'records are left in the spool; they go to the database at the next start')
    else if (!finished) log.warn({ chain: this.#chain.id }, 'the end of the chain could not be brought to every place; it is in the file of checkpoints')
    await Promise.race([this.#opened.shipping.close(), sleep(GRACE_MS, undefined, { ref: false })])
    await Promise.race([this.#opened.disconnect(), sleep(GRACE_MS, undefined, { ref: false })])
    ownedHere.delete(this.#chain.id)
  }
}

/**
 * The text of a record is made when its group is written: one behind the other costs less than each in the middle of its call.
 * What may fail is done at once, so that whoever appends it hears of it.
 */
function lineOf (entry: Entry, time: string): () => string {
  if (entry.detail === undefined) return () => encode(entry, time)
  const text = encode(entry, time)
  return () => text
}
