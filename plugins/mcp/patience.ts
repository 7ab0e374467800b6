import { keepAliveMs } from '../../src/protocol/sse.ts'

/** An answer that somebody waits for. */
export interface Waiting {
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
  readonly #waiting = new Map<Waiting, { since: number, said: number }>()
  readonly #timer: NodeJS.Timeout

  constructor () {
    this.#timer = setInterval(() => this.#look(performance.now()), lookMs)
    this.#timer.unref()
  }

  add (waiting: Waiting, now: number): void {
    if (!this.#waiting.has(waiting)) this.#waiting.set(waiting, { since: now, said: now })
  }

  delete (waiting: Waiting): void {
    this.#waiting.delete(waiting)
  }

  close (): void {
    clearInterval(this.#timer)
  }

  #look (now: number): void {
    for (const [waiting, times] of this.#waiting) {
      if (now - times.since >= patienceMs) waiting.hold()
      if (now - times.said < keepAliveMs) continue
      times.said = now
      waiting.keepAlive()
    }
  }
}
