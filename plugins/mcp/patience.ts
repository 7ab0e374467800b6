import { keepAliveMs } from '../../src/protocol/sse.ts'

/** An answer that somebody waits for. */
export interface Waiting {
  /** Where it stands among those that are waited for, -1 when it doesn't, and since when. Belongs to Patience. */
  place: number
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

/**
 * Answers that are under way, looked after together: one timer for all costs less than one a call, and so does a list
 * whose members know their place: a Map that calls run through is rebuilt all the time.
 */
export class Patience {
  readonly #waiting: Waiting[] = []
  readonly #timer: NodeJS.Timeout

  constructor () {
    this.#timer = setInterval(() => this.#look(performance.now()), lookMs)
    this.#timer.unref()
  }

  add (waiting: Waiting, now: number): void {
    if (waiting.place >= 0) return
    waiting.since = waiting.said = now
    waiting.place = this.#waiting.push(waiting) - 1
  }

  delete (waiting: Waiting): void {
    const { place } = waiting
    if (place < 0) return
    waiting.place = -1
    const last = this.#waiting.pop()
    if (last === undefined || last === waiting) return
    this.#waiting[place] = last
    last.place = place
  }

  close (): void {
    clearInterval(this.#timer)
  }

  /** A copy, since an answer may end while it is looked after. */
  #look (now: number): void {
    for (const waiting of [...this.#waiting]) {
      if (now - waiting.since >= patienceMs) waiting.hold()
      if (now - waiting.said < keepAliveMs) continue
      waiting.said = now
      waiting.keepAlive()
    }
  }
}
