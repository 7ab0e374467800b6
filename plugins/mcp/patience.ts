import { keepAliveMs } from '../../src/protocol/sse.ts'
import { Roster } from '../../src/roster.ts'
import type { Placed } from '../../src/roster.ts'

/** An answer that somebody waits for. */
export interface Waiting extends Placed {
  /** Since when it is waited for, and when it last said something. Belong to Patience. */
  since: number
  said: number
  /** It has taken a while: becomes a stream, if that is possible. */
  hold (): void
  /** Says something, so that nobody on the way takes the connection for dead. */
  keepAlive (): void
}

/** How long an answer may take before it becomes a stream, in milliseconds: long enough for nearly every call to be answered plainly. */
const patienceMs = 500
const lookMs = 250

/** Answers that are under way, looked after together: one timer for all costs less than one a call. */
export class Patience {
  readonly #waiting = new Roster<Waiting>()
  readonly #timer: NodeJS.Timeout

  constructor () {
    this.#timer = setInterval(() => this.#look(performance.now()), lookMs)
    this.#timer.unref()
  }

  add (waiting: Waiting, now: number): void {
    if (this.#waiting.add(waiting)) waiting.since = waiting.said = now
  }

  delete (waiting: Waiting): void {
    this.#waiting.delete(waiting)
  }

  close (): void {
    clearInterval(this.#timer)
  }

  #look (now: number): void {
    for (const waiting of this.#waiting.all()) {
      if (now - waiting.since >= patienceMs) waiting.hold()
      if (now - waiting.said < keepAliveMs) continue
      waiting.said = now
      waiting.keepAlive()
    }
  }
}
