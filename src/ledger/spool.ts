import fs from 'node:fs'

import { createSegment } from './segment.ts'
import type { Chain, Segment } from './segment.ts'

/** `done` of a waiter; with an error nothing that depends on the record may happen. */
export type Done = (error?: Error) => void

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
  /** The system calls that fail on a bad disk; a test replaces them. */
  readonly io?: Pick<typeof fs, 'writeSync' | 'fdatasync'>
}

const SEGMENT_BYTES = 16 * 1024 * 1024
/**
 * For fsync a segment is filled with zeros this far ahead: an fdatasync that changes neither the size of the file
 * nor its blocks needs no commit of the file system's journal, which takes half the CPU and most of the time.
 */
const ZEROS = Buffer.alloc(256 * 1024)
/** A write or fsync that failed is tried again after this long. */
const RETRY_MS = 250
/** Records nobody waits for reach the device after this long at the latest. */
const LAZY_SYNC_MS = 200

/**
 * Append-only files in which records wait for the database. Everything appended in one turn of the event loop goes
 * out in one write; everything written while an fdatasync runs is covered by the next one. What was appended is
 * never dropped: when the disk fails, waiters get the error and the records are tried again until they are written.
 */
export class Spool {
  readonly #options: SpoolOptions
  readonly #io: NonNullable<SpoolOptions['io']>
  readonly #segmentBytes: number
  #segment: Segment
  #descriptor: number
  /** Where the next write goes, and the number of the last record before it. */
  #end: number
  #last = 0
  /** How far the segment is filled with zeros. */
  #zeroed = 0
  /** The same for what is certain to stay: on the device, or for `os` in the kernel's hands. */
  #safeEnd: number
  #safe = 0

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
  #lazy: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #error: Error | undefined
  #closed: Promise<void> | undefined
  #idle: (() => void) | undefined

  constructor (options: SpoolOptions) {
    this.#options = options
    this.#io = options.io ?? fs
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES
    const { segment, descriptor } = createSegment(options.directory, options.chain, 1)
    this.#segment = segment
    this.#descriptor = descriptor
    this.#end = segment.start
    this.#safeEnd = segment.start
    if (options.durability === 'fsync') syncDirectory(options.directory)
  }

  /** Why records cannot be written at the moment. */
  get error (): Error | undefined {
    return this.#error
  }

  /** Records that were appended, whether they are written yet or not. */
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
    const now = new Date()
    fs.futimes(this.#descriptor, now, now, () => {})
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
    if (this.#mustRotate()) {
      // Not while records of the full segment are on their way to the device: a segment that fails is replaced alone.
      if (this.#syncing || this.#unsynced.length > 0) return this.#sync()
      if (!this.#attempt(() => this.#replaceSegment())) return
    }
    if (this.#pendingLines > 0 && !this.#attempt(() => this.#writePending())) return
    this.#settle()
  }

  #mustRotate (): boolean {
    return this.#end >= this.#segmentBytes && this.#pendingLines > 0
  }

  #writePending (): void {
    const buffer = Buffer.from(this.#pending)
    if (this.#options.durability === 'fsync' && this.#end + buffer.length > this.#zeroed) this.#fillAhead()
    this.#write(buffer)
    this.#last += this.#pendingLines
    this.#pending = ''
    this.#pendingLines = 0
    if (this.#options.durability === 'fsync') this.#unsynced.push(buffer)
    else this.#settleAt(this.#last, this.#end)
    this.#report(false)
  }

  /** When there is no room, the write itself will tell. */
  #fillAhead (): void {
    const from = Math.max(this.#zeroed, this.#end)
    try {
      this.#zeroed = from + this.#io.writeSync(this.#descriptor, ZEROS, 0, ZEROS.length, from)
    } catch {}
  }

  /** A full disk may cut a write short without an error; a failed one is cut off again. */
  #write (buffer: Buffer): void {
    let done = 0
    try {
      while (done < buffer.length) {
        const bytes = this.#io.writeSync(this.#descriptor, buffer, done, buffer.length - done, this.#end + done)
        if (bytes === 0) throw new Error('the disk took nothing')
        done += bytes
      }
    } catch (error) {
      cutOff(this.#descriptor, this.#end)
      this.#zeroed = 0
      throw error
    }
    this.#end += buffer.length
  }

  #settle (): void {
    const written = this.#writtenWaiters
    const durable = this.#durableWaiters
    if (written.length > 0) this.#writtenWaiters = []
    if (durable.length > 0) this.#durableWaiters = []
    runAll(written)
    if (this.#options.durability === 'os') {
      runAll(durable)
    } else if (durable.length > 0) {
      this.#syncWaiters = this.#syncWaiters.length === 0 ? durable : this.#syncWaiters.concat(durable)
      this.#sync()
    } else if (this.#unsynced.length > 0 && !this.#syncing) {
      this.#lazy ??= setTimeout(() => { this.#lazy = undefined; this.#sync() }, LAZY_SYNC_MS).unref()
    }
    this.#idle?.()
  }

  #sync (): void {
    if (this.#syncing) return
    this.#syncing = true
    const waiters = this.#syncWaiters
    const last = this.#last
    const end = this.#end
    const buffers = this.#unsynced.length
    this.#syncWaiters = []
    this.#io.fdatasync(this.#descriptor, (error) => {
      this.#syncing = false
      if (error === null || error === undefined) this.#synchronized(last, end, buffers, waiters)
      else this.#syncFailed(error, waiters)
    })
  }

  #synchronized (last: number, end: number, buffers: number, waiters: Done[]): void {
    this.#settleAt(last, end)
    this.#unsynced = this.#unsynced.length === buffers ? [] : this.#unsynced.slice(buffers)
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
    if (this.#attempt(() => this.#replaceSegment())) this.#sync()
  }

  /** Goes on in a new file right behind what is safe; records that were written after that are written again. */
  #replaceSegment (): void {
    const { segment, descriptor } = createSegment(this.#options.directory, this.#options.chain, this.#safe + 1)
    const old = this.#descriptor
    cutOff(old, this.#safeEnd)
    this.#options.onProgress({ segment: this.#segment, end: this.#safeEnd, last: this.#safe, sealed: true })
    this.#segment = segment
    this.#descriptor = descriptor
    this.#end = segment.start
    this.#safeEnd = segment.start
    this.#zeroed = 0
    fs.close(old, () => {})
    if (this.#options.durability === 'fsync') syncDirectory(this.#options.directory)
    for (const buffer of this.#unsynced) this.#write(buffer)
    this.#report(false)
  }

  #settleAt (last: number, end: number): void {
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
    if (this.#syncFailures === 0 && isFull(this.#error)) return this.#flush()
    if (!this.#attempt(() => this.#replaceSegment())) return
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
    this.#options.onProgress({ segment: this.#segment, end: this.#end, last: this.#last, sealed })
  }

  async #close (): Promise<void> {
    let failure: Error | undefined
    await new Promise<void>(resolve => this.durable((error) => { failure = error; resolve() }))
    while (this.#syncing) await new Promise<void>(resolve => { this.#idle = resolve })
    if (this.#retry !== undefined) clearTimeout(this.#retry)
    if (this.#lazy !== undefined) clearTimeout(this.#lazy)
    this.#report(true)
    cutOff(this.#descriptor, this.#end)
    fs.closeSync(this.#descriptor)
    if (failure !== undefined) throw failure
  }
}

/** One waiter that throws must not keep the others from running. */
function runAll (waiters: readonly Done[], error?: Error): void {
  for (const done of waiters) {
    try {
      done(error)
    } catch (thrown) {
      process.nextTick(() => { throw thrown })
    }
  }
}

function isFull (error: Error | undefined): boolean {
  return error !== undefined && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}

/** Best effort: a reader also stops at zeros, and where the next segment begins. */
function cutOff (descriptor: number, end: number): void {
  try { fs.ftruncateSync(descriptor, end) } catch {}
}

/** The new name itself has to survive a power cut. */
function syncDirectory (directory: string): void {
  const descriptor = fs.openSync(directory, 'r')
  try {
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}
