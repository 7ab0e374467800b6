import fs from 'node:fs'

import { runAll } from './journal.ts'
import type { Done, Journal } from './journal.ts'
import type { Chain, Segment } from './segment.ts'
import { SegmentFile } from './segment-file.ts'
import type { Io } from './segment-file.ts'

/** How far a segment can be read: what lies below `end` will not change. */
export interface Progress {
  readonly segment: Segment
  readonly end: number
  /** Number of the last record below `end`. */
  readonly last: number
  /** Nothing will be added. */
  readonly sealed: boolean
}

export interface SpoolOptions {
  readonly directory: string
  readonly chain: Chain
  /** fsync: `durable` waits for the device. os: for the kernel, which survives a crash of this process only. */
  readonly durability: 'fsync' | 'os'
  readonly segmentBytes?: number
  /** Told after each write. */
  readonly onProgress: (progress: Progress) => void
  readonly io?: Io
}

const SEGMENT_BYTES = 16 * 1024 * 1024
/** A write or fsync that failed is tried again after this long. */
const RETRY_MS = 250
/** Records nobody waits for reach the device after this long at the latest. */
const LAZY_SYNC_MS = 200

/**
 * Append-only files in which records wait for the database. Everything appended in one turn of the event loop goes
 * out in one write; everything written while an fdatasync runs is covered by the next one. What was appended is
 * never dropped: when the disk fails, waiters get the error and the records are tried again until they are written.
 */
export class Spool implements Journal {
  readonly #options: SpoolOptions
  readonly #segmentBytes: number
  #file: SegmentFile
  /** Number of the last record that was written. */
  #last = 0
  /** The same for what is certain to stay (on the device, or for `os` in the kernel's hands), and where it ends. */
  #safe = 0
  #safeEnd: number

  #pending = ''
  #pendingLines = 0
  #scheduled = false
  #writtenWaiters: Done[] = []
  #durableWaiters: Done[] = []

  /** Written since the last successful fdatasync, kept in case that one fails. */
  #unsynced: Buffer[] = []
  #syncWaiters: Done[] = []
  #syncing = false
  #syncFailures = 0
  /** The file lacks some of what is unsynced: writing it again failed half-way. */
  #incomplete = false
  #lazy: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #error: Error | undefined
  #closed: Promise<void> | undefined
  #idle: (() => void) | undefined

  constructor (options: SpoolOptions) {
    this.#options = options
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES
    this.#file = this.#createFile()
    this.#safeEnd = this.#file.end
  }

  /** Why records cannot be written at the moment. */
  get error (): Error | undefined {
    return this.#error
  }

  /** Number of records that were appended, whether they are written yet or not. */
  get appended (): number {
    return this.#last + this.#pendingLines
  }

  /** `line` is written with the next group. It holds no line break. */
  append (line: string): void {
    if (this.#closed !== undefined) throw new Error('the ledger is closed')
    this.#pending += line + '\n'
    this.#pendingLines++
    this.#schedule()
  }

  /** `done` runs when everything appended so far was handed to the kernel. */
  written (done: Done): void {
    this.#writtenWaiters.push(done)
    this.#schedule()
  }

  /** `done` runs when everything appended so far is as durable as the options ask. */
  durable (done: Done): void {
    this.#durableWaiters.push(done)
    this.#schedule()
  }

  /** Shows that the owner lives. */
  touch (): void {
    this.#file.touch()
  }

  /** Writes and syncs what is left; rejects when that is not possible. Idempotent. */
  close (): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  #schedule (): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#flush())
  }

  #flush (): void {
    this.#scheduled = false
    if (this.#error !== undefined && this.#retry !== undefined) return this.#failWaiters(this.#error)
    if (this.#file.end >= this.#segmentBytes && this.#pendingLines > 0) {
      // Not while records of the full segment are on their way to the device: a segment that fails is replaced alone.
      if (this.#syncing || this.#unsynced.length > 0) return this.#sync()
      if (!this.#attempt(() => this.#replaceFile())) return
    }
    if (this.#pendingLines > 0 && !this.#attempt(() => this.#writePending())) return
    this.#settle()
  }

  #writePending (): void {
    const group = Buffer.from(this.#pending)
    this.#file.write(group)
    this.#last += this.#pendingLines
    this.#pending = ''
    this.#pendingLines = 0
    if (this.#options.durability === 'fsync') this.#unsynced.push(group)
    else this.#markSafe(this.#last, this.#file.end)
    this.#report(false)
  }

  /** What the waiters append and wait for in their turn belongs to the next group. */
  #settle (): void {
    const written = this.#writtenWaiters
    const durable = this.#durableWaiters
    this.#writtenWaiters = []
    this.#durableWaiters = []
    runAll(written)
    if (this.#options.durability === 'os') {
      runAll(durable)
    } else if (durable.length > 0) {
      this.#syncWaiters = this.#syncWaiters.length === 0 ? durable : this.#syncWaiters.concat(durable)
      this.#sync()
    } else if (this.#unsynced.length > 0 && !this.#syncing) {
      this.#lazy ??= setTimeout(() => this.#syncLazily(), LAZY_SYNC_MS).unref()
    }
    this.#idle?.()
  }

  #syncLazily (): void {
    this.#lazy = undefined
    if (this.#error === undefined) this.#sync()
  }

  #sync (): void {
    if (this.#syncing) return
    this.#syncing = true
    const waiters = this.#syncWaiters
    const last = this.#last
    const end = this.#file.end
    const groups = this.#unsynced.length
    this.#syncWaiters = []
    this.#file.sync((error) => {
      this.#syncing = false
      if (error === null || error === undefined) this.#synchronized(last, end, groups, waiters)
      else this.#syncFailed(error, waiters)
    })
  }

  #synchronized (last: number, end: number, groups: number, waiters: Done[]): void {
    this.#markSafe(last, end)
    this.#unsynced = this.#unsynced.length === groups ? [] : this.#unsynced.slice(groups)
    this.#syncFailures = 0
    this.#recovered()
    runAll(waiters)
    if (this.#syncWaiters.length > 0) this.#sync()
    if (this.#pendingLines > 0) this.#schedule()
    this.#idle?.()
  }

  /**
   * The kernel may have dropped the pages it could not write and will report success next time, so the file is not
   * trusted again: what it may have lost is written to a new one.
   */
  #syncFailed (error: Error, waiters: Done[]): void {
    this.#syncFailures++
    if (this.#syncFailures > 1) {
      runAll(waiters, error)
      return this.#failed(error)
    }
    this.#syncWaiters = waiters.concat(this.#syncWaiters)
    if (this.#attempt(() => this.#replaceFile())) this.#sync()
  }

  #createFile (): SegmentFile {
    const { directory, chain, durability, io = fs } = this.#options
    return new SegmentFile({ directory, chain, first: this.#safe + 1, durable: durability === 'fsync', io })
  }

  /** Goes on in a new file right behind what is safe; records that were written after that are written again. */
  #replaceFile (): void {
    const file = this.#createFile()
    this.#options.onProgress({ segment: this.#file.segment, end: this.#safeEnd, last: this.#safe, sealed: true })
    this.#file.close(this.#safeEnd)
    this.#file = file
    this.#safeEnd = file.end
    this.#incomplete = true
    for (const group of this.#unsynced) file.write(group)
    this.#incomplete = false
    this.#report(false)
  }

  #markSafe (last: number, end: number): void {
    this.#safe = last
    this.#safeEnd = end
  }

  /** Runs something that may fail on a bad disk. False: it did, and will be tried again. */
  #attempt (work: () => void): boolean {
    try {
      work()
      if (this.#syncFailures === 0) this.#recovered()
      return true
    } catch (error) {
      this.#failed(error instanceof Error ? error : new Error(String(error)))
      return false
    }
  }

  #failed (error: Error): void {
    this.#error = error
    this.#retry ??= setTimeout(() => this.#tryAgain(), RETRY_MS).unref()
    this.#failWaiters(error)
  }

  /** A full disk has room again in the same file; after any other error the file is not trusted. */
  #tryAgain (): void {
    this.#retry = undefined
    if (this.#syncing) return this.#failed(this.#error ?? new Error('the disk is slow'))
    if (this.#syncFailures === 0 && !this.#incomplete && isFull(this.#error)) return this.#flush()
    if (!this.#attempt(() => this.#replaceFile())) return
    if (this.#unsynced.length > 0) this.#sync()
    this.#schedule()
  }

  #recovered (): void {
    if (this.#retry !== undefined) clearTimeout(this.#retry)
    this.#retry = undefined
    this.#error = undefined
  }

  #failWaiters (error: Error): void {
    const waiters = [...this.#writtenWaiters, ...this.#durableWaiters, ...this.#syncWaiters]
    this.#writtenWaiters = []
    this.#durableWaiters = []
    this.#syncWaiters = []
    runAll(waiters, error)
    this.#idle?.()
  }

  #report (sealed: boolean): void {
    this.#options.onProgress({ segment: this.#file.segment, end: this.#file.end, last: this.#last, sealed })
  }

  async #close (): Promise<void> {
    const failure = await new Promise<Error | undefined>(resolve => this.durable(resolve))
    while (this.#syncing) await new Promise<void>(resolve => { this.#idle = resolve })
    clearTimeout(this.#retry)
    clearTimeout(this.#lazy)
    this.#report(true)
    this.#file.close(this.#file.end)
    if (failure !== undefined) throw failure
  }
}

function isFull (error: Error | undefined): boolean {
  return error !== undefined && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}
