import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Database } from '../../db/connect.ts'
import type { AuditSpec } from '../config/config.ts'
import { Refusal } from '../errors.ts'
import type { Log } from '../log.ts'
import { createClock } from './clock.ts'
import { encode } from './entry.ts'
import type { Entry } from './entry.ts'
import { finishChain } from './finish-chain.ts'
import { Leftovers } from './leftovers.ts'
import { createRecordIds } from './record-id.ts'
import { HEARTBEAT_MS, ownedHere } from './segment.ts'
import type { Chain } from './segment.ts'
import { Shipper } from './shipper.ts'
import { Spool } from './spool.ts'
import type { Io } from './segment-file.ts'
import type { Done } from './spool.ts'

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
  /** False: calls are refused. */
  readonly healthy: boolean
  readonly reason?: string
}

export interface LedgerOptions {
  /** Data directory; the spool is in `ledger` beneath it. */
  readonly data: string
  readonly database: Pick<Database, 'db' | 'pool'>
  readonly audit: Pick<AuditSpec, 'durability' | 'maxOutage' | 'spoolMax'>
  readonly log: Log
  /** Name of this gateway; default the host name. */
  readonly node?: string
  /** For tests: what fails on a bad disk, and smaller files. */
  readonly io?: Io
  readonly segmentBytes?: number
}

/** Opens the ledger of this process and begins to ship what earlier ones left. Throws when the spool cannot be written. */
export function openLedger (options: LedgerOptions): Ledger {
  return new SpooledLedger(options)
}

const CLOSE_MS = 5_000
const GRACE_MS = 500
const RETRY_AFTER_SECONDS = 5

class SpooledLedger implements Ledger {
  readonly newRecord = createRecordIds()
  readonly #options: LedgerOptions
  readonly #clock = createClock()
  readonly #chain: Chain
  readonly #spool: Spool
  readonly #shipper: Shipper
  readonly #leftovers: Leftovers
  readonly #heartbeat: NodeJS.Timeout
  #closing: Promise<void> | undefined

  constructor (options: LedgerOptions) {
    const { data, database, audit, log, node = hostname(), io, segmentBytes } = options
    const directory = join(data, 'ledger')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#options = options
    this.#chain = { id: randomUUID(), node, openedAt: new Date() }
    ownedHere.add(this.#chain.id)
    this.#shipper = new Shipper({ chain: this.#chain, database, log })
    this.#spool = new Spool({ directory, chain: this.#chain, durability: audit.durability, onProgress: progress => this.#shipper.note(progress), ...(io !== undefined && { io }), ...(segmentBytes !== undefined && { segmentBytes }) })
    this.#leftovers = new Leftovers({ directory, own: this.#chain, database, log })
    this.#heartbeat = setInterval(() => this.#spool.touch(), HEARTBEAT_MS).unref()
  }

  get caughtUp (): Promise<void> {
    return this.#leftovers.done
  }

  append (entry: Entry, options?: { readonly force?: boolean }): void {
    if (options?.force !== true) this.#refuseIfUnavailable()
    this.#spool.append(encode(entry, this.#clock()))
  }

  durable (done: Done): void {
    this.#spool.durable(done)
  }

  written (done: Done): void {
    this.#spool.written(done)
  }

  get status (): LedgerStatus {
    const reason = this.#obstacle()
    const own = this.#shipper.lag
    const older = this.#leftovers.lag
    return {
      lagRecords: own.records + older.records,
      lagBytes: own.bytes + older.bytes,
      lastShippedAt: this.#shipper.lastShippedAt || undefined,
      healthy: reason === undefined,
      ...(reason !== undefined && { reason }),
    }
  }

  close (): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #refuseIfUnavailable (): void {
    const reason = this.#obstacle()
    if (reason === undefined) return
    throw new Refusal('PORTCULLIS_LEDGER_UNAVAILABLE', {
      cause: new Error(reason, { cause: this.#spool.error ?? this.#shipper.error }),
      data: { retryAfterMs: RETRY_AFTER_SECONDS * 1000 },
      headers: { 'retry-after': String(RETRY_AFTER_SECONDS) },
    })
  }

  /** Why no new attempt may begin. */
  #obstacle (): string | undefined {
    const { maxOutage, spoolMax } = this.#options.audit
    if (this.#closing !== undefined) return 'the ledger is closing'
    if (this.#spool.error !== undefined) return `records cannot be written: ${this.#spool.error.message}`
    const { stalledSince } = this.#shipper
    if (stalledSince !== 0 && Date.now() - stalledSince > maxOutage) return `the database has not taken any record for ${Date.now() - stalledSince} ms`
    const bytes = this.#shipper.lag.bytes + this.#leftovers.lag.bytes
    if (bytes > spoolMax) return `${bytes} bytes of records wait for the database, more than audit.spoolMax`
    return undefined
  }

  async #close (): Promise<void> {
    const { log } = this.#options
    clearInterval(this.#heartbeat)
    const failure = await this.#spool.close().then(() => undefined, (error: unknown) => error)
    if (failure !== undefined) log.error({ err: failure }, 'the last records could not be written')
    const shipped = this.#ship(AbortSignal.timeout(CLOSE_MS)).catch((error: unknown) => {
      log.warn({ err: error, chain: this.#chain.id }, 'the chain could not be closed')
      return false
    })
    // A database that hangs must not keep us: its connections time out much later.
    const closed = await Promise.race([shipped, sleep(CLOSE_MS + GRACE_MS, false, { ref: false })])
    if (!closed) log.warn({ records: this.#shipper.lag.records }, 'records are left in the spool; they go to the database at the next start')
    await Promise.race([Promise.all([this.#shipper.close(), this.#leftovers.close()]), sleep(GRACE_MS, undefined, { ref: false })])
    ownedHere.delete(this.#chain.id)
  }

  /** An intent without an outcome at this point belongs to a call that was cut off. */
  async #ship (signal: AbortSignal): Promise<boolean> {
    if (!await this.#shipper.drain(signal)) return false
    if (this.#spool.appended > 0) await finishChain(this.#options.database, this.#chain)
    await this.#shipper.release()
    return true
  }
}
