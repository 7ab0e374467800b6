import type { UpstreamSpec } from '../config/config.ts'
import type { Era } from '../protocol/era.ts'
import { emptySeat } from './seat.ts'
import type { Seat } from './seat.ts'

type Pair = Partial<Record<Era, Seat>>

/** Every seat there is. One is looked for with every call, so none is found by a text that would have to be made first. */
export class Seats {
  readonly #upstreams = new Map<string, Map<string, Pair>>()

  find (upstream: string, owner: string, era: Era): Seat | undefined {
    return this.#upstreams.get(upstream)?.get(owner)?.[era]
  }

  /** The seat, made when there is none. */
  at (spec: UpstreamSpec, owner: string, era: Era): Seat {
    return this.find(spec.name, owner, era) ?? this.#add(emptySeat(spec, owner, era))
  }

  delete ({ spec, owner, era }: Seat): void {
    const owners = this.#upstreams.get(spec.name)
    const pair = owners?.get(owner)
    if (owners === undefined || pair === undefined) return
    delete pair[era]
    if (Object.keys(pair).length === 0) owners.delete(owner)
    if (owners.size === 0) this.#upstreams.delete(spec.name)
  }

  all (): Seat[] {
    return [...this.#upstreams.values()].flatMap((owners) => [...owners.values()].flatMap((pair) => Object.values(pair)))
  }

  #add (seat: Seat): Seat {
    const owners = this.#upstreams.get(seat.spec.name) ?? new Map<string, Pair>()
    const pair = owners.get(seat.owner) ?? {}
    pair[seat.era] = seat
    this.#upstreams.set(seat.spec.name, owners.set(seat.owner, pair))
    return seat
  }
}
