import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Lets `burst` through at once and `perSecond` after that; the others wait their turn. Every connection is a record, and
 * an upstream must not fill the audit log faster than it can be kept.
 */
export class Pace {
  readonly #burst: number
  readonly #intervalMs: number
  #next = 0

  constructor (burst: number, perSecond: number) {
    this.#burst = burst
    this.#intervalMs = 1000 / perSecond
  }

  /** Waits for a turn. @throws when `signal` ends the wait */
  async turn (signal: AbortSignal): Promise<void> {
    const ms = this.wait(Date.now())
    if (ms > 0) await sleep(ms, undefined, { ref: false, signal })
  }

  /** Takes a turn at `now` and says after how many milliseconds it comes. */
  wait (now: number): number {
    this.#next = Math.max(this.#next, now - this.#burst * this.#intervalMs) + this.#intervalMs
    return Math.max(0, this.#next - now)
  }
}
