/** One key's count. The window began with its first call. */
export interface Window { start: number, count: number }

/**
 * Fixed windows, one a key: a window begins with a key's first call and ends `per` milliseconds later; the next call after
 * that begins another. Ended windows are swept as calls come in, live ones never give way to others. Pure: time comes in
 * from outside, in Unix milliseconds.
 */
export class Windows {
  /** In the order in which the windows began, since all of them last equally long. */
  readonly #windows = new Map<string, Window>()
  readonly #max: number

  /** `max` is how many windows may live at once. */
  constructor (max: number) {
    this.#max = max
  }

  get size (): number {
    return this.#windows.size
  }

  /** Counts one call. Undefined when the key is new and there is no room: then nothing was counted. */
  hit (key: string, per: number, now: number): Readonly<Window> | undefined {
    this.#sweep(per, now)
    const window = this.#windows.get(key)
    if (window === undefined || now - window.start >= per) return this.#begin(key, now)
    // A clock that was set back must not make a window last longer than it should.
    if (now < window.start) window.start = now
    window.count++
    return window
  }

  /** The window a key is in, without counting. */
  peek (key: string, per: number, now: number): Readonly<Window> | undefined {
    const window = this.#windows.get(key)
    return window === undefined || now - window.start >= per ? undefined : window
  }

  #begin (key: string, now: number): Window | undefined {
    this.#windows.delete(key)
    if (this.#windows.size >= this.#max) return undefined
    const window = { start: now, count: 1 }
    this.#windows.set(key, window)
    return window
  }

  /** Two a call: more than one call can add, so what has ended is gone before long. */
  #sweep (per: number, now: number): void {
    let swept = 0
    for (const [key, window] of this.#windows) {
      if (now - window.start < per || swept++ === 2) return
      this.#windows.delete(key)
    }
  }
}
