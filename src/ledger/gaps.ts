import { rmSync } from 'node:fs'

import type { Log } from '../../db/connect.ts'
import type { Entry } from './entry.ts'
import { Gap } from './gap.ts'
import type { Unrecorded } from './gap.ts'
import { GapFile, leftGaps } from './gap-file.ts'
import type { MarkedGap } from './gap-file.ts'
import { runAll } from './journal.ts'
import type { Done } from './journal.ts'
import type { Chain } from './segment.ts'

export interface GapsOptions {
  readonly directory: string
  readonly chain: Chain
  /** Calls may go on without a record; otherwise only what earlier processes left is dealt with. */
  readonly allowed: boolean
  /** A mark has to be on the device before the call goes on. */
  readonly durable: boolean
  readonly newRecord: () => string
  readonly log: Log
  /** Takes the record of a gap whatever the state of the ledger. */
  readonly append: (entry: Entry) => void
  /** `done` runs when everything appended so far is durable, or is not yet. */
  readonly whenDurable: (done: Done) => void
}

const RETRY_MS = 1_000

/**
 * Calls that go on while nothing can be recorded (`audit.on_failure`). Each is counted in a file before it goes on, and the
 * count becomes a record when the ledger takes records again: by this process, or by the next that starts on this directory.
 */
export class Gaps {
  readonly #options: GapsOptions
  #file: GapFile | undefined
  /** Calls are being counted in it. */
  #open: Gap | undefined
  /** Its record is appended, and not durable yet. */
  #ending: Gap | undefined
  #arriving: { readonly call: Unrecorded, readonly done: Done }[] = []
  #marking = false
  #closed = false

  constructor (options: GapsOptions) {
    this.#options = options
    if (options.allowed) this.#reserve()
    this.#reportLeft()
  }

  /** Counts a call. `done` runs when the count cannot be lost any more; with an error the call must not go on. */
  pass (call: Unrecorded, done: Done): void {
    this.#arriving.push({ call, done })
    if (!this.#marking) {
      this.#marking = true
      setImmediate(() => this.#mark())
    }
  }

  /** The ledger takes records again: what happened meanwhile becomes one. */
  end (): void {
    if (this.#open === undefined || this.#ending !== undefined) return
    const gap = this.#open
    this.#open = undefined
    this.#ending = gap
    this.#options.append({ kind: 'gateway', record: gap.record, outcome: 'unknown', detail: gap.detail() })
    this.#options.log.warn({ record: gap.record, calls: gap.calls }, 'calls went on while nothing could be recorded; how many is on the record')
    this.#confirm(() => {
      this.#ending = undefined
      if (!this.#closed) this.#file?.mark(this.#marks())
    })
  }

  /** Shows that this process lives. */
  touch (): void {
    this.#file?.touch()
  }

  /** After the last record was written, or could not be: then the file stays for the next process. Idempotent. */
  close (): void {
    this.#closed = true
    this.#file?.close(this.#marks().length === 0)
  }

  #reserve (): void {
    try {
      this.#file = new GapFile(this.#options.directory, this.#options.chain)
    } catch (error) {
      this.#options.log.error({ err: error }, 'there is no room to count calls that go on without a record, so none will')
    }
  }

  /** All that arrived in this turn of the event loop at once; what arrives while the device is written comes after. */
  #mark (): void {
    const arrived = this.#arriving
    this.#arriving = []
    const waiters = arrived.map(({ done }) => done)
    const end = (error?: Error): void => {
      this.#marking = false
      runAll(waiters, error)
      if (this.#arriving.length > 0 && !this.#marking) {
        this.#marking = true
        setImmediate(() => this.#mark())
      }
    }
    const file = this.#file
    if (file === undefined || this.#closed) return end(new Error('calls that go on without a record cannot be counted'))
    try {
      this.#count(arrived)
      file.mark(this.#marks())
    } catch (error) {
      return end(error instanceof Error ? error : new Error(String(error)))
    }
    if (this.#options.durable) file.sync(end)
    else end()
  }

  /** Counted before it is certain that they go on: a count may be too high, never too low. */
  #count (arrived: readonly { readonly call: Unrecorded }[]): void {
    const time = new Date().toISOString()
    if (this.#open === undefined) {
      this.#open = new Gap(this.#options.newRecord(), time)
      this.#options.log.warn({ record: this.#open.record }, 'nothing can be recorded; tools that audit.on_failure names go on without')
    }
    for (const { call } of arrived) this.#open.add(call, time)
  }

  #marks (): MarkedGap[] {
    return [this.#ending, this.#open].flatMap(gap => gap === undefined ? [] : { record: gap.record, detail: gap.detail() })
  }

  #confirm (done: () => void): void {
    this.#options.whenDurable((error) => {
      if (error !== undefined) {
        setTimeout(() => this.#confirm(done), RETRY_MS).unref()
        return
      }
      try {
        done()
      } catch (failure) {
        // The mark stays: should this process die now, the next one says the same again, under the same record id.
        this.#options.log.error({ err: failure }, 'a gap that is on the record cannot be taken out of its file')
      }
    })
  }

  #reportLeft (): void {
    const { directory, append, newRecord, log } = this.#options
    for (const { path, chain, gaps } of leftGaps(directory)) {
      const marked = gaps ?? [{ record: newRecord(), detail: { event: 'gap', unreadable: true } }]
      for (const { record, detail } of marked) append({ kind: 'gateway', record, outcome: 'unknown', detail: { ...detail, chain } })
      if (marked.length > 0) log.warn({ chain, records: marked.map(({ record }) => record) }, 'calls went on without a record in an earlier process; how many is on the record')
      this.#confirm(() => rmSync(path, { force: true }))
    }
  }
}
