/** A group is held back for at most so many turns of the event loop, and so many milliseconds if those are long. */
const PATIENCE = { turns: 16, ms: 1 }

/**
 * Decides when the messages that wait are acted on. Clients who were answered at about the same time call again at about
 * the same time, and a group costs less a call the larger it is: one write of records, one sync, one write to the upstream.
 * So a group waits until as many calls are around as when the last one went: those that wait, and those that are on their
 * way, whose clients cannot call again before they are answered. Where fewer come than did, the next group expects fewer.
 */
export class Gathering {
  readonly #underWay: () => number
  readonly #now: () => number
  /** Calls that were around when the last group went. */
  #usual = 0
  #turns = 0
  #since = 0

  /**
   * @param underWay how many calls are being worked on
   * @param now milliseconds of a clock that only goes forward
   */
  constructor (underWay: () => number, now = (): number => performance.now()) {
    this.#underWay = underWay
    this.#now = now
  }

  /**
   * Asked once a turn of the event loop while messages wait. True: act on all of them now, and the next group is measured by
   * this one; false: ask again in the next turn.
   */
  release (waiting: number): boolean {
    const around = waiting + this.#underWay()
    if (around < this.#usual && this.#mayWait()) return false
    this.#usual = around
    this.#turns = 0
    return true
  }

  #mayWait (): boolean {
    if (this.#turns++ === 0) this.#since = this.#now()
    return this.#turns <= PATIENCE.turns && this.#now() - this.#since < PATIENCE.ms
  }
}
