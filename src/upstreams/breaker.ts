/** An upstream that fails for this many different owners, with no success in between, is broken for everybody. */
const ownersToOpen = 3
const firstPauseMs = 5_000
const longestPauseMs = 60_000

export type BreakerState = 'closed' | 'open' | 'half-open'

/**
 * The circuit breaker of one upstream. A single owner's failures never open it (their secret may be wrong), which is what
 * the back-off of each seat is for. While it is open nothing is started; then one start may try, and the others wait
 * for what comes of it.
 */
export class Breaker {
  readonly #failed = new Set<string>()
  readonly #jitter: () => number
  #openUntil = 0
  #pauses = 0
  #probing = false

  /** @param jitter 0 … 1, so that many gateways do not return at once */
  constructor (jitter: () => number = Math.random) {
    this.#jitter = jitter
  }

  /** Milliseconds until a start may be tried; 0: now, and whoever was told so must tell what came of it. */
  enter (now: number): number {
    if (this.#pauses === 0) return 0
    if (now < this.#openUntil) return this.#openUntil - now
    if (this.#probing) return probeMs
    this.#probing = true
    return 0
  }

  succeeded (): void {
    this.#failed.clear()
    this.#pauses = 0
    this.#probing = false
  }

  failed (owner: string, now: number): void {
    this.#failed.add(owner)
    const wasProbe = this.#probing
    this.#probing = false
    if (!wasProbe && (this.#pauses > 0 || this.#failed.size < ownersToOpen)) return
    this.#openUntil = now + Math.min(longestPauseMs, firstPauseMs * 2 ** this.#pauses) * (0.75 + this.#jitter() / 2)
    this.#pauses++
  }

  /** The start that was let in was given up for a reason that says nothing about the upstream. */
  undecided (): void {
    this.#probing = false
  }

  state (now: number): BreakerState {
    if (this.#pauses === 0) return 'closed'
    return now < this.#openUntil ? 'open' : 'half-open'
  }
}

/** Who comes while another one tries may come again after so long. */
const probeMs = 1_000
