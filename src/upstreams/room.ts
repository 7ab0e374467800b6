import { Refusal } from '../errors.ts'

/** How many instances there may be at a time. */
export interface Bounds {
  readonly total: number
  readonly perUpstream: number
  readonly perUser: number
}

/** Who wants to start an instance; `user` is undefined for one that everybody shares. */
export interface Guest { readonly upstream: string, readonly user: string | undefined }

/** `owed`: an instance was asked to leave on its behalf, and has not left yet. */
interface Waiting { readonly guest: Guest, readonly admit: () => void, owed: boolean }

/**
 * Keeps instances within their bounds. Who does not fit waits in line while idle instances are asked to leave, and is
 * refused after a while; whoever is bounded by what is their own does not hold up those behind.
 */
export class Room {
  readonly #bounds: Bounds
  readonly #evict: (which: (guest: Guest) => boolean) => boolean
  readonly #inside = new Set<Guest>()
  readonly #waiting = new Set<Waiting>()

  /** @param evict asks the idle instance among `which` that was not used for longest to leave; false when there is none */
  constructor (bounds: Bounds, evict: (which: (guest: Guest) => boolean) => boolean) {
    this.#bounds = bounds
    this.#evict = evict
  }

  get size (): number {
    return this.#inside.size
  }

  /** Guests in line. */
  get waiting (): number {
    return this.#waiting.size
  }

  /** The upstreams they wait for. */
  get inLine (): string[] {
    return [...this.#waiting].map(({ guest }) => guest.upstream)
  }

  /**
   * Waits for a place, at most `patienceMs`. @returns what gives the place back, once the processes are gone
   * @throws Refusal PORTCULLIS_OVERLOADED that names the bound
   */
  async enter (guest: Guest, patienceMs: number): Promise<() => void> {
    if (this.#fullFor(guest) !== undefined || this.#waiting.size > 0) await this.#line(guest, patienceMs)
    else this.#inside.add(guest)
    return () => {
      if (!this.#inside.delete(guest)) return
      this.look()
    }
  }

  /** Whether it would be let in at once, with nobody in line. */
  fits (guest: Guest): boolean {
    return this.#waiting.size === 0 && this.#fullFor(guest) === undefined
  }

  /** Lets in who fits now, and makes room for the others; called whenever something may have become idle. */
  look (): void {
    for (const waiting of this.#waiting) {
      if (this.#fullFor(waiting.guest) === undefined) this.#admit(waiting)
    }
    for (const waiting of this.#waiting) {
      const full = waiting.owed ? undefined : this.#fullFor(waiting.guest)
      if (full === undefined) continue
      waiting.owed = true
      if (!this.#evict(full.among)) waiting.owed = false
    }
  }

  #line (guest: Guest, patienceMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(waiting)
        reject(overloaded(this.#fullFor(guest)))
      }, patienceMs)
      const waiting: Waiting = {
        guest,
        owed: false,
        admit: () => {
          clearTimeout(timer)
          resolve()
        },
      }
      this.#waiting.add(waiting)
      this.look()
    })
  }

  #admit (waiting: Waiting): void {
    this.#waiting.delete(waiting)
    this.#inside.add(waiting.guest)
    // it took a place that was made for another
    const other = waiting.owed ? undefined : [...this.#waiting].find(({ owed }) => owed)
    if (other !== undefined) other.owed = false
    waiting.admit()
  }

  /** The first bound that keeps a guest out, and among whom an idle one would make room. */
  #fullFor (guest: Guest): { readonly bound: string, readonly among: (other: Guest) => boolean } | undefined {
    const rows = [
      { bound: `you have ${this.#bounds.perUser} of them`, max: guest.user === undefined ? Infinity : this.#bounds.perUser, among: (other: Guest) => other.user === guest.user },
      { bound: `"${guest.upstream}" has ${this.#bounds.perUpstream} of them`, max: this.#bounds.perUpstream, among: (other: Guest) => other.upstream === guest.upstream },
      { bound: `there are ${this.#bounds.total} of them`, max: this.#bounds.total, among: () => true },
    ]
    return rows.find(({ max, among }) => this.#inside.size >= max && [...this.#inside].filter(among).length >= max)
  }
}

function overloaded (full: { readonly bound: string } | undefined): Refusal {
  return new Refusal('PORTCULLIS_OVERLOADED', { message: `All upstream processes are at work: ${full?.bound ?? 'others wait'}, which is the limit. Try again shortly.`, data: { retryAfterMs: 1000 } })
}
