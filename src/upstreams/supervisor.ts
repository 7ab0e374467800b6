import type { Config } from '../config/config.ts'
import { Refusal } from '../errors.ts'
import type { Era } from '../protocol/era.ts'
import type { Cells } from './cells.ts'
import type { Instance } from './instance.ts'
import { Room } from './room.ts'
import type { Guest } from './room.ts'
import { guestOf, isOf, ownerKey, vacate } from './seat.ts'
import type { Owner, Seat } from './seat.ts'
import { Seats } from './seats.ts'
import { Starter, sweepMs } from './starter.ts'
import type { SupervisorEvents } from './starter.ts'

const stopGraceMs = 3_000
/** An instance is not asked to leave before whoever was given it had time to use it. */
const settleMs = 1_000
/** An empty seat is remembered this long, with its failures and what its last instance offered. */
const rememberMs = 3_600_000

/** Starts, finds, watches and ends the instances of all upstreams. The only owner of instances. */
export class Supervisor {
  readonly #config: Config
  readonly #starter: Starter
  readonly #seats = new Seats()
  readonly #room: Room
  readonly #timer: NodeJS.Timeout
  readonly #isWatched: SupervisorEvents['isWatched']
  #closing: Promise<void> | undefined

  constructor (config: Config, spawn: Cells['spawn'], events: SupervisorEvents) {
    this.#config = config
    this.#isWatched = (instance) => events.isWatched(instance)
    this.#room = new Room(config.instances, (which) => this.#evict(which))
    this.#starter = new Starter({ config, spawn, events, room: this.#room, seat: (...place) => this.#seats.at(...place), isClosing: () => this.#closing !== undefined })
    this.#timer = setInterval(() => this.#sweep(), sweepMs)
    this.#timer.unref()
  }

  /**
   * The instance that serves `owner`, started when there is none; in the client's era where the upstream speaks it.
   * Returned without a promise when it is up, which is the common case.
   * @throws Refusal PORTCULLIS_UPSTREAM_UNAVAILABLE with what to do, PORTCULLIS_SHUTTING_DOWN
   */
  instance (upstream: string, owner: Owner, era: Era): Instance | Promise<Instance> {
    const spec = this.#config.upstreams.get(upstream)
    if (spec === undefined) throw new Refusal('PORTCULLIS_UNKNOWN_TARGET')
    const seat = this.#seats.at(spec, ownerKey(spec, owner), this.#starter.eraOf(upstream, era))
    if (seat.instance !== undefined) {
      seat.instance.lastUsed = Date.now()
      return seat.instance
    }
    if (this.#closing !== undefined) throw new Refusal('PORTCULLIS_SHUTTING_DOWN')
    return seat.starting ?? this.#starter.open(seat, owner, era)
  }

  /** The instance that serves `owner` if it is up already; nothing is started. Whoever looks is about to call: it counts as used. */
  peek (upstream: string, owner: Owner, era: Era): Instance | undefined {
    const instance = this.#seat(upstream, owner, era)?.instance
    if (instance !== undefined) instance.lastUsed = Date.now()
    return instance
  }

  /** Whether the instance that served `owner` last, and is gone, had listed the tool. */
  didList (upstream: string, owner: Owner, era: Era, tool: string): boolean {
    return this.#seat(upstream, owner, era)?.known.has(tool) === true
  }

  /** Is it this instance that works for `owner` and clients of this era? */
  serves (instance: Instance, owner: Owner, era: Era): boolean {
    const spec = this.#config.upstreams.get(instance.upstream)
    return spec !== undefined && ownerKey(spec, owner) === instance.owner && this.#starter.eraOf(instance.upstream, era) === instance.era
  }

  /** The instances that are up. */
  * instances (): Generator<Instance> {
    for (const { instance } of this.#seats.all()) if (instance !== undefined) yield instance
  }

  /** Which are up, starting, or waiting for their back-off to end. */
  states (): { upstream: string, owner: string, state: 'ready' | 'starting' | 'backing-off' }[] {
    const now = Date.now()
    return this.#seats.all().flatMap(({ spec, owner, instance, starting, notBefore }) => {
      const state = instance !== undefined ? 'ready' as const : starting !== undefined ? 'starting' as const : notBefore > now ? 'backing-off' as const : undefined
      return state === undefined ? [] : [{ upstream: spec.name, owner, state }]
    })
  }

  /** Upstreams whose next instance waits in line for a place, one entry for each that waits. */
  get inLine (): string[] {
    return this.#room.inLine
  }

  /** Whether an instance that is nobody's could be started without anybody having to wait or leave. */
  fits (upstream: string): boolean {
    return this.#room.fits({ upstream, user: undefined })
  }

  /** Whether it fails for everybody. */
  isBroken (upstream: string): boolean {
    return this.#starter.isBroken(upstream)
  }

  /** Ends every instance of a user at once: disabled users and revoked rights leave nothing running. */
  async endUser (userId: string): Promise<void> {
    await this.#endSeats((seat) => isOf(seat, userId))
  }

  /** Ends what was started for one session alone. */
  async endSession (userId: string, session: string): Promise<void> {
    await this.#endSeats(({ owner }) => owner === `${userId} ${session}`)
  }

  #seat (upstream: string, owner: Owner, era: Era): Seat | undefined {
    const spec = this.#config.upstreams.get(upstream)
    return spec && this.#seats.find(upstream, ownerKey(spec, owner), this.#starter.eraOf(upstream, era))
  }

  async #endSeats (which: (seat: Seat) => boolean): Promise<void> {
    const seats = this.#seats.all().filter(which)
    for (const seat of seats) seat.ended = seat.starting !== undefined
    await Promise.all(seats.map((seat) => this.#stop(seat, 0)))
  }

  /** Lets calls in flight, and whatever else `isBusy` says, finish for at most `drainMs`, then ends everything. Later calls are refused. */
  close (drainMs: number, isBusy: () => boolean = () => false): Promise<void> {
    this.#closing ??= this.#drain(drainMs, isBusy)
    return this.#closing
  }

  async #drain (drainMs: number, isBusy: () => boolean): Promise<void> {
    const end = Date.now() + drainMs
    const busy = (): boolean => [...this.instances()].some(({ inFlight }) => inFlight > 0)
    while ((busy() || isBusy()) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20))
    clearInterval(this.#timer)
    await Promise.race([Promise.allSettled(this.#seats.all().map(({ starting }) => starting)), new Promise((resolve) => setTimeout(resolve, Math.max(0, end - Date.now()) + stopGraceMs))])
    await Promise.all(this.#seats.all().map((seat) => this.#stop(seat, stopGraceMs)))
  }

  #sweep (): void {
    const now = Date.now()
    this.#room.look()
    for (const seat of this.#seats.all()) {
      const { instance, spec } = seat
      if (instance === undefined) {
        if (seat.starting === undefined && seat.notBefore + rememberMs < now) this.#seats.delete(seat)
        continue
      }
      instance.sweep(now)
      if (instance.inFlight > 0 || now - instance.lastUsed <= spec.timeouts.idle) continue
      if (this.#isWatched(instance)) instance.lastUsed = now
      else void this.#stop(seat, stopGraceMs)
    }
  }

  /** Asks the instance to leave that was idle longest; one whose news somebody waits for only when there is no other. */
  #evict (which: (guest: Guest) => boolean): boolean {
    const before = Date.now() - settleMs
    const idle = this.#seats.all()
      .filter((seat) => seat.instance?.inFlight === 0 && seat.instance.lastUsed < before && which(guestOf(seat)))
      .sort((left, right) => (left.instance?.lastUsed ?? 0) - (right.instance?.lastUsed ?? 0))
    const seat = idle.find(({ instance }) => instance !== undefined && !this.#isWatched(instance)) ?? idle[0]
    if (seat !== undefined) void this.#stop(seat, stopGraceMs)
    return seat !== undefined
  }

  async #stop (seat: Seat, graceMs: number): Promise<void> {
    const instance = vacate(seat)
    seat.notBefore = Math.max(seat.notBefore, Date.now())
    await instance?.stop(graceMs)
  }
}
