import { Refusal } from '../errors.ts'
import { Roster } from '../roster.ts'
import type { Placed } from '../roster.ts'
import type { Ask } from './ask.ts'

/** A call that can be asked something by the server that works on it. Its place belongs to the turns it is in. */
export interface Askable extends Placed {
  asked (ask: Ask): void
}

interface Waiting { readonly call: Askable, readonly go: () => void, readonly timer: NodeJS.Timeout }

/** How long a question may wait until it is clear whose call it is about, in milliseconds. */
const doubtMs = 5_000
const maxWaiting = 1_000

/**
 * Whose call a question is about. On a pipe nothing says so: it is the call that is alone in its turn. A server that
 * never asked serves any number of calls at once; from its first question on, its calls take turns. A call that waits
 * for a person has no turn, so that nobody waits for that person.
 */
export class Turns {
  #strict: boolean
  readonly #onAsking: () => void
  readonly #active = new Roster<Askable>()
  readonly #parked = new Set<Askable>()
  readonly #waiting: Waiting[] = []
  #doubtful: Ask[] = []
  #timer: NodeJS.Timeout | undefined

  /**
   * @param strict calls take turns from the beginning
   * @param onAsking called when it turns out that the server asks
   */
  constructor (strict: boolean, onAsking: () => void) {
    this.#strict = strict
    this.#onAsking = onAsking
  }

  /** Calls that wait for others to finish. */
  get waiting (): number {
    return this.#waiting.length
  }

  /**
   * Begins a turn, or goes on with one; a promise when others have to finish first, for at most `timeoutMs`. It resolves
   * without a turn when the call left meanwhile.
   */
  enter (call: Askable, timeoutMs: number): Promise<void> | undefined {
    if (!this.#strict || this.#active.size === 0) {
      this.#begin(call)
      return undefined
    }
    if (this.#waiting.length >= maxWaiting) throw new Refusal('PORTCULLIS_UPSTREAM_UNAVAILABLE', { message: 'Too many calls wait for their turn at this upstream. Try again shortly.', data: { retryAfterMs: 1000 } })
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        reject(new Refusal('PORTCULLIS_TIMEOUT', { message: 'Other calls of yours kept the upstream busy for too long. Try again.' }))
      }, timeoutMs).unref()
      const waiting = { call, go: resolve, timer }
      // Who comes back from a person goes first: what it holds at the server ends the sooner.
      const at = this.#parked.has(call) ? this.#waiting.findIndex((other) => !this.#parked.has(other.call)) : -1
      this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, waiting)
    })
  }

  /** The call is over, or does not want its turn any more. */
  leave (call: Askable): void {
    if (this.#parked.size > 0) this.#parked.delete(call)
    if (this.#active.delete(call)) return this.#next()
    const at = this.#waiting.findIndex((waiting) => waiting.call === call)
    for (const waiting of at < 0 ? [] : this.#waiting.splice(at, 1)) wake(waiting)
  }

  /** The call waits for a person: others have their turn meanwhile. */
  park (call: Askable): void {
    this.#active.delete(call)
    this.#parked.add(call)
    this.#next()
  }

  /** The server asks. Finds the call it is about; refuses when there is none, or when it cannot be told which. */
  asked (ask: Ask): void {
    if (!this.#strict) this.#onAsking()
    this.#strict = true
    const call = this.#only()
    if (call !== undefined) return call.asked(ask)
    if (this.#active.size === 0) return ask.refuse(-32601, 'Nothing is being worked on that this could be about.')
    this.#doubtful.push(ask)
    this.#timer ??= setTimeout(() => this.#giveUp(), doubtMs).unref()
  }

  close (): void {
    clearTimeout(this.#timer)
    this.#doubtful = []
    for (const waiting of this.#waiting.splice(0)) wake(waiting)
  }

  #begin (call: Askable): void {
    if (this.#parked.size > 0) this.#parked.delete(call)
    this.#active.add(call)
  }

  #only (): Askable | undefined {
    if (this.#active.size > 0) return this.#active.only
    if (this.#parked.size !== 1) return undefined
    const [call] = this.#parked
    return call
  }

  /** Whoever asked cannot be done before it is answered: once only one call is left, it is the one. */
  #next (): void {
    const left = this.#active.size === 1 ? this.#only() : undefined
    if (left !== undefined) {
      for (const ask of this.#settleDoubt()) if (ask.open) left.asked(ask)
    }
    if (this.#active.size > 0) return
    const next = this.#waiting.shift()
    if (next === undefined) return
    this.#begin(next.call)
    wake(next)
  }

  #giveUp (): void {
    for (const ask of this.#settleDoubt()) ask.refuse(-32603, 'It cannot be told which of several calls this is about. From now on calls take turns: call again.')
  }

  #settleDoubt (): Ask[] {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const asks = this.#doubtful
    this.#doubtful = []
    return asks
  }
}

function wake ({ go, timer }: Waiting): void {
  clearTimeout(timer)
  go()
}
