import { runAll } from './journal.ts'
import type { Done, Journal } from './journal.ts'
import { Slab } from './slab.ts'
import { SpoolTail } from './spool-tail.ts'
import type { SpoolOptions } from './spool-tail.ts'

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
  readonly #durability: SpoolOptions['durability']
  readonly #tail: SpoolTail
  readonly #slab = new Slab()

  #pending: (() => string)[] = []
  /** Those before them, as they go out; there are some only while the disk does not take them. */
  #group = { text: '', lines: 0 }
  #scheduled = false
  #writtenWaiters: Done[] = []
  #durableWaiters: Done[] = []

  #syncWaiters: Done[] = []
  #syncing = false
  #syncFailures = 0
  #lazy: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #error: Error | undefined
  #closed: Promise<void> | undefined
  #idle: (() => void) | undefined

  constructor (options: SpoolOptions) {
    this.#durability = options.durability
    this.#tail = new SpoolTail(options)
  }

  /** Why records cannot be written at the moment. */
  get error (): Error | undefined {
    return this.#error
  }

  /** Number of records that were appended, whether they are written yet or not. */
  get appended (): number {
    return this.#tail.last + this.#unwritten
  }

  /** What `line` gives is written with the next group. It holds no line break. */
  append (line: () => string): void {
    if (this.#closed !== undefined) throw new Error('the ledger is closed')
    this.#pending.push(line)
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
    this.#tail.touch()
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
    if (this.#tail.full && this.#unwritten > 0) {
      // Not while records of the full segment are on their way to the device: a segment that fails is replaced alone.
      if (this.#syncing || this.#tail.unsafe) return this.#sync()
      if (!this.#attempt(() => this.#tail.replace())) return
    }
    if (this.#unwritten > 0 && !this.#attempt(() => this.#writePending())) return
    this.#settle()
  }

  #writePending (): void {
    const group = this.#group
    let text = ''
    for (const line of this.#pending) text += line() + '\n'
    group.text += text
    group.lines += this.#pending.length
    this.#pending = []
    this.#tail.write(this.#slab.bytesOf(group.text), group.lines)
    this.#group = { text: '', lines: 0 }
  }

  get #unwritten (): number {
    return this.#group.lines + this.#pending.length
  }

  /** What the waiters append and wait for in their turn belongs to the next group. */
  #settle (): void {
    const written = this.#writtenWaiters
    const durable = this.#durableWaiters
    this.#writtenWaiters = []
    this.#durableWaiters = []
    runAll(written)
    if (this.#durability === 'os') {
      runAll(durable)
    } else if (durable.length > 0) {
      this.#syncWaiters = this.#syncWaiters.length === 0 ? durable : this.#syncWaiters.concat(durable)
      this.#sync()
    } else if (this.#tail.unsafe && !this.#syncing) {
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
    this.#syncWaiters = []
    this.#tail.sync((error) => {
      this.#syncing = false
      if (error === undefined) this.#synchronized(waiters)
      else this.#syncFailed(error, waiters)
    })
  }

  #synchronized (waiters: Done[]): void {
    this.#syncFailures = 0
    this.#recovered()
    runAll(waiters)
    if (this.#syncWaiters.length > 0) this.#sync()
    if (this.#unwritten > 0) this.#schedule()
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
    if (this.#attempt(() => this.#tail.replace())) this.#sync()
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

  /** A full disk is trusted, and has room again by and by; after any other error the file is not trusted. */
  #tryAgain (): void {
    this.#retry = undefined
    if (this.#syncing) return this.#failed(this.#error ?? new Error('the disk is slow'))
    if (this.#syncFailures === 0 && this.#tail.complete && isFull(this.#error)) {
      if (this.#tail.unsafe) return this.#sync()
      this.#tail.release()
      return this.#flush()
    }
    if (!this.#attempt(() => this.#tail.replace())) return
    if (this.#tail.unsafe) this.#sync()
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

  async #close (): Promise<void> {
    const failure = await new Promise<Error | undefined>(resolve => this.durable(resolve))
    while (this.#syncing) await new Promise<void>(resolve => { this.#idle = resolve })
    clearTimeout(this.#retry)
    clearTimeout(this.#lazy)
    this.#tail.close()
    if (failure !== undefined) throw failure
  }
}

function isFull (error: Error | undefined): boolean {
  return error !== undefined && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}
