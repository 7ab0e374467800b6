import type { Refusal } from '../errors.ts'
import { isObject } from '../protocol/message.ts'
import type { Answer } from '../upstreams/answer.ts'
import type { Ask } from '../upstreams/ask.ts'
import type { Sink } from '../upstreams/channel.ts'

/** What one round came to: the upstream's answer, or what it wants to know first, by the keys a client answers under. */
export type Round =
  | { readonly kind: 'answer', readonly answer: Answer }
  | { readonly kind: 'asks', readonly asks: ReadonlyMap<string, Ask> }

/** Who hears what an upstream says while it works: the call of the round that is on. */
export interface Listener {
  progress (params: Record<string, unknown>): void
  log (params: Record<string, unknown>): void
}

interface Waiter { readonly listener: Listener, readonly resolve: (round: Round) => void, readonly reject: (refusal: Refusal) => void }

/** Servers ask several things at once; those that come within so many milliseconds are put to the client together. */
const siblingsMs = 15

/**
 * One request at an upstream of the session era on behalf of a 2026-07-28 client. It outlives the client's request:
 * between two rounds it waits, with its questions open, for the client to come back.
 */
export class Dialogue implements Sink {
  /** Of the turns it takes part in. */
  place = -1
  readonly #asks = new Map<string, Ask>()
  readonly #onOver: () => void
  #count = 0
  #waiter: Waiter | undefined
  #outcome: { answer: Answer } | { refusal: Refusal } | undefined
  #siblings: NodeJS.Timeout | undefined
  /** The request's id at the upstream. */
  id = 0
  /** Record of the call it works for now, or last did. */
  record: string

  /** @param onOver called when the upstream is done with the request, whichever way */
  constructor (record: string, onOver: () => void) {
    this.record = record
    this.#onOver = onOver
  }

  get over (): boolean {
    return this.#outcome !== undefined
  }

  /** Waits for the next thing the upstream says. There is one round at a time. */
  round (listener: Listener): Promise<Round> {
    return new Promise((resolve, reject) => {
      this.#waiter = { listener, resolve, reject }
      if (this.#outcome !== undefined) this.#conclude(this.#outcome)
      else if (this.#open() > 0) this.#reportSoon()
    })
  }

  /** Passes on what the client answered; a value that is no object answers nothing, and is asked for again. */
  answers (responses: Readonly<Record<string, unknown>>): void {
    for (const [key, value] of Object.entries(responses)) {
      const ask = this.#asks.get(key)
      if (ask === undefined || !isObject(value)) continue
      this.#asks.delete(key)
      ask.answer(value)
    }
  }

  /** Nobody will answer any more. */
  abandon (): void {
    for (const ask of this.#asks.values()) ask.abandon()
    this.#asks.clear()
  }

  asked (ask: Ask): void {
    const key = `ask-${++this.#count}`
    this.#asks.set(key, ask)
    ask.withdrawn = () => this.#asks.delete(key)
    if (this.#waiter !== undefined) this.#reportSoon()
  }

  answer (answer: Answer): void {
    this.#conclude({ answer })
    this.#onOver()
  }

  fail (refusal: Refusal): void {
    this.#conclude({ refusal })
    this.#onOver()
  }

  progress (params: Record<string, unknown>): void {
    this.#waiter?.listener.progress(params)
  }

  log (params: Record<string, unknown>): void {
    this.#waiter?.listener.log(params)
  }

  /** How many questions still want an answer; those that were refused do not. */
  #open (): number {
    for (const [key, ask] of this.#asks) if (!ask.open) this.#asks.delete(key)
    return this.#asks.size
  }

  #reportSoon (): void {
    this.#siblings ??= setTimeout(() => {
      this.#siblings = undefined
      if (this.#open() > 0) this.#take()?.resolve({ kind: 'asks', asks: new Map(this.#asks) })
    }, siblingsMs)
  }

  #conclude (outcome: { answer: Answer } | { refusal: Refusal }): void {
    clearTimeout(this.#siblings)
    this.#outcome = outcome
    const waiter = this.#take()
    if ('answer' in outcome) waiter?.resolve({ kind: 'answer', answer: outcome.answer })
    else waiter?.reject(outcome.refusal)
  }

  #take (): Waiter | undefined {
    const waiter = this.#waiter
    this.#waiter = undefined
    return waiter
  }
}
