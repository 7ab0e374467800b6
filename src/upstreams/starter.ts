import type { Config, UpstreamSpec } from '../config/config.ts'
import { Refusal } from '../errors.ts'
import type { Era } from '../protocol/era.ts'
import type { Cell, Exit } from '../sandbox/cell.ts'
import { Breaker } from './breaker.ts'
import type { CellHooks, Cells } from './cells.ts'
import type { RecordEgress } from './egress-records.ts'
import { WrongEra } from './handshake.ts'
import { Instance } from './instance.ts'
import type { Room } from './room.ts'
import type { Cut } from './offer.ts'
import { backOff, guestOf, other, unavailable, vacate } from './seat.ts'
import type { Owner, Seat } from './seat.ts'
import type { StderrLevel } from './stderr.ts'

/** What the supervisor tells the rest of the gateway about, and what it asks of it. */
export interface SupervisorEvents {
  notification (instance: Instance, method: string, params: Record<string, unknown>): void
  started (instance: Instance, milliseconds: number): void
  /** `expected` is true when the gateway ended it. */
  exited (instance: Instance, exit: Exit, expected: boolean): void
  failed (upstream: string, owner: string, reason: string): void
  noise (upstream: string, line: Buffer): void
  dropped (upstream: string, reason: string): void
  /** Of a list only so many items are kept. */
  cut (upstream: string, owner: string, list: string, items: number, why: Cut): void
  stderr (upstream: string, owner: string, line: string, level: StderrLevel): void
  readonly egress: RecordEgress
  /** Somebody waits for its news, so it is in use although nobody calls. */
  isWatched (instance: Instance): boolean
}

export interface StarterParts {
  readonly config: Config
  readonly spawn: Cells['spawn']
  readonly events: SupervisorEvents
  readonly room: Room
  readonly seat: (spec: UpstreamSpec, owner: string, era: Era) => Seat
  readonly isClosing: () => boolean
}

/** How often what is overdue is looked for. */
export const sweepMs = 250
/** A caller waits this long for a back-off to end before it is refused. */
const patienceMs = 2_000
/** An instance that lived this long had not failed to start: back-off begins anew. */
const healthyMs = 60_000

/** Brings instances up: in the era the upstream speaks, within the bounds, and not while it is known to fail. */
export class Starter {
  readonly #parts: StarterParts
  readonly #events: SupervisorEvents
  /** What an upstream was found to speak; absent = not tried. */
  readonly #speaks = new Map<string, Partial<Record<Era, boolean>>>()
  /** Upstreams whose calls take turns, since they ask clients back. */
  readonly #asking: Set<string>
  readonly #breakers = new Map<string, Breaker>()

  constructor (parts: StarterParts) {
    this.#parts = parts
    this.#events = parts.events
    this.#asking = new Set([...parts.config.upstreams.values()].filter(({ takesTurns }) => takesTurns).map(({ name }) => name))
  }

  /** The era to open an upstream in for a client of `wanted`. */
  eraOf (upstream: string, wanted: Era): Era {
    return this.#speaks.get(upstream)?.[wanted] === false ? other(wanted) : wanted
  }

  /** It failed for several owners and has not started for anybody since. */
  isBroken (upstream: string): boolean {
    return this.#breaker(upstream).state(Date.now()) !== 'closed'
  }

  /**
   * Starts an instance on an empty seat; one start at a time.
   * @throws Refusal PORTCULLIS_UPSTREAM_UNAVAILABLE while the seat or its upstream is backing off
   */
  open (seat: Seat, owner: Owner, era: Era): Promise<Instance> {
    const pause = seat.notBefore - Date.now() > patienceMs ? 0 : this.#breaker(seat.spec.name).enter(Date.now())
    if (pause > 0) throw unavailable(seat.spec.name, 'It fails for everybody and is tried again shortly.', undefined, pause)
    const starting = this.#begin(seat, owner, era)
    starting.then(() => this.#breaker(seat.spec.name).succeeded(), (error: unknown) => {
      if (error instanceof Refusal && error.code !== 'PORTCULLIS_UPSTREAM_UNAVAILABLE') this.#breaker(seat.spec.name).undecided()
      else this.#breaker(seat.spec.name).failed(seat.owner, Date.now())
    })
    return starting
  }

  #breaker (upstream: string): Breaker {
    let breaker = this.#breakers.get(upstream)
    if (breaker === undefined) {
      breaker = new Breaker()
      this.#breakers.set(upstream, breaker)
    }
    return breaker
  }

  #begin (seat: Seat, owner: Owner, era: Era): Promise<Instance> {
    const wait = seat.notBefore - Date.now()
    if (wait > patienceMs) throw unavailable(seat.spec.name, 'It failed repeatedly and is tried again later.', undefined, wait)
    seat.ended = false
    seat.starting = this.#startAfter(wait, seat, owner, era).finally(() => { seat.starting = undefined })
    return seat.starting
  }

  async #startAfter (wait: number, seat: Seat, owner: Owner, era: Era): Promise<Instance> {
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    return await this.#start(seat, owner, era)
  }

  async #start (seat: Seat, owner: Owner, wanted: Era): Promise<Instance> {
    const { spec } = seat
    const era = this.eraOf(spec.name, wanted)
    try {
      const instance = await this.#introduce(seat, owner, era)
      this.#learn(spec.name, era, true)
      return instance
    } catch (error) {
      if (error instanceof WrongEra && era === wanted && this.#speaks.get(spec.name)?.[other(era)] !== false) return await this.#startOther(seat, owner, era, error)
      throw this.#failed(seat, error)
    }
  }

  /** The server refused this era. That it does not speak it is known only when the other one works. */
  async #startOther (seat: Seat, owner: Owner, refused: Era, error: WrongEra): Promise<Instance> {
    if (seat.ended) throw this.#failed(seat, endedMeanwhile()) // the mark is on this seat alone
    const twin = this.#parts.seat(seat.spec, seat.owner, other(refused))
    if (twin.waiting) throw this.#failed(seat, error) // it was refused too, and waits for this one
    seat.waiting = true
    try {
      const instance = twin.instance ?? await (twin.starting ?? this.#begin(twin, owner, other(refused)))
      this.#learn(seat.spec.name, refused, false)
      return instance
    } catch {
      throw this.#failed(seat, error)
    } finally {
      seat.waiting = false
    }
  }

  async #introduce (seat: Seat, owner: Owner, era: Era): Promise<Instance> {
    const begun = Date.now()
    const { spec } = seat
    let calls = (): string[] => []
    const cell = await this.#spawnInRoom(seat, owner, {
      egress: (verdict) => this.#events.egress(spec.name, seat.owner, verdict, calls()),
      stderr: (line, level) => this.#events.stderr(spec.name, seat.owner, line, level),
    })
    const instance: Instance = new Instance({
      upstream: spec.name,
      owner: seat.owner,
      era,
      cell,
      maxLine: this.#parts.config.guards.maxResult + 65_536,
      timeoutMs: spec.timeouts.call,
      isRemote: spec.remote !== undefined,
      asks: { kinds: spec.asks, known: () => this.#asking.has(spec.name), learn: () => this.#asking.add(spec.name) },
      onCut: (...cut) => this.#events.cut(spec.name, seat.owner, ...cut),
      hooks: {
        notification: (method, params) => this.#events.notification(instance, method, params),
        noise: (line) => this.#events.noise(spec.name, line),
        dropped: (reason) => this.#events.dropped(spec.name, reason),
      },
    })
    calls = () => instance.records
    const watch = setInterval(() => instance.sweep(Date.now()), sweepMs)
    try {
      await instance.introduce(spec.timeouts.start)
    } catch (error) {
      await instance.stop(0)
      throw error
    } finally {
      clearInterval(watch)
    }
    if (seat.ended) {
      await instance.stop(0)
      throw endedMeanwhile()
    }
    seat.instance = instance
    this.#announce(seat, instance)
    void cell.exited.then((exit) => this.#onExit(seat, instance, exit))
    this.#events.started(instance, Date.now() - begun)
    return instance
  }

  /** It keeps its place until no process of it is left. */
  async #spawnInRoom (seat: Seat, owner: Owner, hooks: CellHooks): Promise<Cell> {
    const leave = await this.#parts.room.enter(guestOf(seat), seat.spec.timeouts.start)
    try {
      if (this.#parts.isClosing()) throw new Refusal('PORTCULLIS_SHUTTING_DOWN')
      if (seat.ended) throw endedMeanwhile()
      const cell = await this.#parts.spawn(seat.spec, owner.user, hooks)
      void cell.exited.then(leave)
      return cell
    } catch (error) {
      leave()
      throw error
    }
  }

  /** Who kept a list of an earlier instance hears that there is a new one. */
  #announce (seat: Seat, instance: Instance): void {
    const listed = instance.fingerprint
    if (seat.listed !== undefined && (seat.crashed || seat.listed !== listed)) {
      for (const method of instance.changeable) this.#events.notification(instance, method, {})
    }
    seat.listed = listed
    seat.crashed = false
  }

  #onExit (seat: Seat, instance: Instance, exit: Exit): void {
    const expected = seat.instance !== instance
    if (!expected) {
      vacate(seat)
      seat.crashed = true
      if (Date.now() - instance.startedAt > healthyMs) seat.failures = 0
      backOff(seat)
    }
    this.#events.exited(instance, exit, expected)
  }

  #failed (seat: Seat, error: unknown): Refusal {
    // nothing was tried, so nothing is known about the upstream
    if (error instanceof Refusal && (error.code === 'PORTCULLIS_OVERLOADED' || error.code === 'PORTCULLIS_SHUTTING_DOWN')) return error
    backOff(seat)
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    this.#events.failed(seat.spec.name, seat.owner, cause instanceof Error ? cause.message : String(cause))
    return unavailable(seat.spec.name, 'It did not start; the gateway\'s log says why.', error, seat.notBefore - Date.now())
  }

  #learn (upstream: string, era: Era, speaks: boolean): void {
    this.#speaks.set(upstream, { ...this.#speaks.get(upstream), [era]: speaks })
  }
}

function endedMeanwhile (): Refusal {
  return new Refusal('PORTCULLIS_UPSTREAM_UNAVAILABLE', { message: 'The upstream was ended while it started.' })
}
