import { runAll } from './journal.ts'
import type { Done, Journal } from './journal.ts'
import type { MemorySupply } from './memory-supply.ts'

/** How it stands with the database. */
export interface Commits {
  /** Number of the last record that is in the database. */
  readonly shipped: number
  /** Since when it has taken nothing, Unix milliseconds; 0: nothing is held up. */
  readonly stalledSince: number
  readonly error: string | undefined
}

export interface GroupCommitOptions {
  readonly supply: MemorySupply
  readonly facts: () => Commits
  /** There is something in the supply. */
  readonly wake: () => void
  /** Milliseconds that somebody waits for a database that takes nothing. */
  readonly patience: number
}

const LOOK_MS = 100
/** At the end, this long for what is left; somebody else looks after what comes of it. */
const CLOSE_MS = 5_000

/**
 * For machines without a disk of their own: a record is safe when Postgres has committed it. Everything that was
 * appended while one statement ran goes out with the next. A waiter learns of a database that is away after a while;
 * its record is kept all the same, and goes to the database when that is back.
 */
export class GroupCommit implements Journal {
  readonly #options: GroupCommitOptions
  readonly #timer: NodeJS.Timeout
  /** In the order of their numbers. */
  #waiters: { readonly last: number, readonly done: Done }[] = []
  #scheduled = false
  #closed: Promise<void> | undefined

  constructor (options: GroupCommitOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#giveUp(options.patience), LOOK_MS).unref()
  }

  get error (): Error | undefined {
    return undefined
  }

  get appended (): number {
    return this.#options.supply.last
  }

  append (line: () => string): void {
    if (this.#closed !== undefined) throw new Error('the ledger is closed')
    this.#options.supply.add(line())
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#send())
  }

  written (done: Done): void {
    this.durable(done)
  }

  durable (done: Done): void {
    this.#waiters.push({ last: this.appended, done })
    if (this.appended <= this.#options.facts().shipped) setImmediate(() => this.committed())
  }

  /** The database has taken something. */
  committed (): void {
    const { shipped } = this.#options.facts()
    const later = this.#waiters.findIndex(({ last }) => last > shipped)
    const served = this.#waiters.splice(0, later < 0 ? this.#waiters.length : later)
    runAll(served.map(({ done }) => done))
  }

  touch (): void {}

  close (): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  #send (): void {
    this.#scheduled = false
    this.#options.wake()
  }

  #giveUp (patience: number): void {
    const { stalledSince, error } = this.#options.facts()
    if (this.#waiters.length === 0 || stalledSince === 0 || Date.now() - stalledSince <= patience) return
    const waiters = this.#waiters.splice(0)
    runAll(waiters.map(({ done }) => done), new Error(`the database has not taken any record for ${Date.now() - stalledSince} ms`, { cause: error }))
  }

  async #close (): Promise<void> {
    const late = setTimeout(() => this.#giveUp(0), CLOSE_MS)
    const failure = await new Promise<Error | undefined>(resolve => this.durable(resolve))
    clearTimeout(late)
    clearInterval(this.#timer)
    if (failure !== undefined) throw failure
  }
}
