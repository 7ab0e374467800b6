import type { Config, UpstreamSpec } from '../config/config.ts'
import type { Verdict } from '../egress/decide.ts'
import { Refusal } from '../errors.ts'
import type { Era } from '../protocol/era.ts'
import type { Cell } from '../sandbox/cell.ts'
import type { Cells } from './cells.ts'
import { Instance, WrongEra } from './instance.ts'
import { backOff, emptySeat, isOf, other, ownerKey, seatKey, unavailable } from './seat.ts'
import type { Owner, Seat } from './seat.ts'

/** What the supervisor tells the rest of the gateway about. */
export interface SupervisorEvents {
  notification (instance: Instance, method: string, params: Record<string, unknown>): void
  started (instance: Instance, milliseconds: number): void
  /** `expected` is true when the gateway ended it. */
  exited (instance: Instance, exit: string, expected: boolean): void
  failed (upstream: string, owner: string, reason: string): void
  noise (upstream: string, line: Buffer): void
  dropped (upstream: string, reason: string): void
  stderr (upstream: string, owner: string, line: string): void
  /** Before a connection is made; `calls` are the records of what the instance works on. When it fails, no connection is made. */
  egress (upstream: string, owner: string, verdict: Verdict, calls: readonly string[]): Promise<void>
}

const maxInstances = 500
const maxInstancesPerUser = 64
const sweepMs = 250
const stopGraceMs = 3_000
/** A caller waits this long for a back-off to end before it is refused. */
const patienceMs = 2_000
/** Lines of an instance's stderr that go to the log in a second; a flood must not drown everybody else's. */
const maxStderrLines = 100
/** An instance that lived this long had not failed to start: back-off begins anew. */
const healthyMs = 60_000

/** Starts, finds, watches and ends the instances of all upstreams. The only owner of instances. */
export class Supervisor {
  readonly #config: Config
  readonly #events: SupervisorEvents
  readonly #spawn: Cells['spawn']
  readonly #seats = new Map<string, Seat>()
  /** What an upstream was found to speak; absent = not tried. */
  readonly #speaks = new Map<string, Partial<Record<Era, boolean>>>()
  /** Upstreams whose calls take turns, since they ask clients back. */
  readonly #asking: Set<string>
  readonly #timer: NodeJS.Timeout
  #closing: Promise<void> | undefined

  constructor (config: Config, spawn: Cells['spawn'], events: SupervisorEvents) {
    this.#config = config
    this.#spawn = spawn
    this.#events = events
    this.#asking = new Set([...config.upstreams.values()].filter(({ takesTurns }) => takesTurns).map(({ name }) => name))
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
    const seat = this.#seat(spec, ownerKey(spec, owner), this.#eraOf(upstream, era))
    if (seat.instance !== undefined) {
      seat.instance.lastUsed = Date.now()
      return seat.instance
    }
    if (this.#closing !== undefined) throw new Refusal('PORTCULLIS_SHUTTING_DOWN')
    return seat.starting ?? this.#open(seat, owner, era)
  }

  /** The instance that serves `owner` if it is up already; nothing is started. Whoever looks is about to call: it counts as used. */
  peek (upstream: string, owner: Owner, era: Era): Instance | undefined {
    const spec = this.#config.upstreams.get(upstream)
    const instance = spec && this.#seats.get(seatKey(upstream, ownerKey(spec, owner), this.#eraOf(upstream, era)))?.instance
    if (instance !== undefined) instance.lastUsed = Date.now()
    return instance
  }

  /** The instances that are up. */
  * instances (): Generator<Instance> {
    for (const { instance } of this.#seats.values()) if (instance !== undefined) yield instance
  }

  /** How many are up, starting, or waiting for their back-off to end, by upstream. */
  states (): { upstream: string, state: 'ready' | 'starting' | 'backing-off' }[] {
    const now = Date.now()
    return [...this.#seats.values()].flatMap(({ spec, instance, starting, notBefore }) => {
      const state = instance !== undefined ? 'ready' as const : starting !== undefined ? 'starting' as const : notBefore > now ? 'backing-off' as const : undefined
      return state === undefined ? [] : [{ upstream: spec.name, state }]
    })
  }

  /** Ends every instance of a user at once: disabled users and revoked rights leave nothing running. */
  async endUser (userId: string): Promise<void> {
    await this.#endSeats((seat) => isOf(seat, userId))
  }

  /** Ends what was started for one session alone. */
  async endSession (userId: string, session: string): Promise<void> {
    await this.#endSeats(({ owner }) => owner === `${userId} ${session}`)
  }

  async #endSeats (which: (seat: Seat) => boolean): Promise<void> {
    const seats = [...this.#seats.values()].filter(which)
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
    await Promise.race([Promise.allSettled([...this.#seats.values()].map(({ starting }) => starting)), new Promise((resolve) => setTimeout(resolve, Math.max(0, end - Date.now()) + stopGraceMs))])
    await Promise.all([...this.#seats.values()].map((seat) => this.#stop(seat, stopGraceMs)))
  }

  #seat (spec: UpstreamSpec, owner: string, era: Era): Seat {
    const key = seatKey(spec.name, owner, era)
    let seat = this.#seats.get(key)
    if (seat === undefined) {
      seat = emptySeat(key, spec, owner)
      this.#seats.set(key, seat)
    }
    return seat
  }

  #eraOf (upstream: string, wanted: Era): Era {
    return this.#speaks.get(upstream)?.[wanted] === false ? other(wanted) : wanted
  }

  #open (seat: Seat, owner: Owner, era: Era): Promise<Instance> {
    const wait = seat.notBefore - Date.now()
    if (wait > patienceMs) throw unavailable(seat.spec.name, 'It failed repeatedly and is tried again later.', undefined, wait)
    this.#makeRoom(owner.user.id)
    seat.starting = this.#startAfter(wait, seat, owner, era).finally(() => { seat.starting = undefined })
    return seat.starting
  }

  async #startAfter (wait: number, seat: Seat, owner: Owner, era: Era): Promise<Instance> {
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    return await this.#start(seat, owner, era)
  }

  async #start (seat: Seat, owner: Owner, wanted: Era): Promise<Instance> {
    const { spec } = seat
    const era = this.#eraOf(spec.name, wanted)
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
    const twin = this.#seat(seat.spec, seat.owner, other(refused))
    if (twin.waiting) throw this.#failed(seat, error) // it was refused too, and waits for this one
    seat.waiting = true
    try {
      const instance = twin.instance ?? await (twin.starting ?? this.#open(twin, owner, other(refused)))
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
    const cell = await this.#spawn(spec, owner.user, (verdict) => this.#events.egress(spec.name, seat.owner, verdict, calls()))
    this.#readStderr(cell, spec.name, seat.owner)
    const instance: Instance = new Instance({
      upstream: spec.name,
      owner: seat.owner,
      era,
      cell,
      maxLine: this.#config.guards.maxResult + 65_536,
      timeoutMs: spec.timeouts.call,
      asks: { kinds: spec.asks, known: () => this.#asking.has(spec.name), learn: () => this.#asking.add(spec.name) },
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
      seat.ended = false
      await instance.stop(0)
      throw new Refusal('PORTCULLIS_UPSTREAM_UNAVAILABLE', { message: 'The upstream was ended while it started.' })
    }
    seat.instance = instance
    void cell.exited.then((exit) => this.#onExit(seat, instance, exit))
    this.#events.started(instance, Date.now() - begun)
    return instance
  }

  #onExit (seat: Seat, instance: Instance, exit: { code: number | null, signal: string | null }): void {
    const expected = seat.instance !== instance
    if (!expected) {
      seat.instance = undefined
      if (Date.now() - instance.startedAt > healthyMs) seat.failures = 0
      backOff(seat)
    }
    this.#events.exited(instance, exit.signal ?? `code ${exit.code}`, expected)
  }

  #failed (seat: Seat, error: unknown): Refusal {
    backOff(seat)
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    this.#events.failed(seat.spec.name, seat.owner, cause instanceof Error ? cause.message : String(cause))
    return unavailable(seat.spec.name, 'It did not start; the gateway\'s log says why.', error, seat.notBefore - Date.now())
  }

  #sweep (): void {
    const now = Date.now()
    for (const seat of this.#seats.values()) {
      const { instance, spec } = seat
      if (instance === undefined) {
        if (seat.starting === undefined && seat.notBefore + healthyMs < now) this.#seats.delete(seat.key)
        continue
      }
      instance.sweep(now)
      if (instance.inFlight === 0 && now - instance.lastUsed > spec.timeouts.idle) void this.#stop(seat, stopGraceMs)
    }
  }

  /** Ends the instance that was idle longest when the bound is reached; refuses when all are at work. */
  #makeRoom (userId: string): void {
    const up = [...this.#seats.values()].filter(({ instance, starting }) => instance !== undefined || starting !== undefined)
    if (up.filter((seat) => isOf(seat, userId)).length >= maxInstancesPerUser) throw new Refusal('PORTCULLIS_OVERLOADED', { message: `You have ${maxInstancesPerUser} upstream processes already. End a session, or wait until idle ones are stopped.`, data: { retryAfterMs: 60_000 } })
    if (up.length < maxInstances) return
    const idle = up.filter(({ instance }) => instance?.inFlight === 0).sort((a, b) => (a.instance?.lastUsed ?? 0) - (b.instance?.lastUsed ?? 0))[0]
    if (idle === undefined) throw new Refusal('PORTCULLIS_OVERLOADED', { message: `All ${maxInstances} upstream processes are at work. Try again shortly.`, data: { retryAfterMs: 1000 } })
    void this.#stop(idle, stopGraceMs)
  }

  async #stop (seat: Seat, graceMs: number): Promise<void> {
    const { instance } = seat
    seat.instance = undefined
    await instance?.stop(graceMs)
  }

  #learn (upstream: string, era: Era, speaks: boolean): void {
    this.#speaks.set(upstream, { ...this.#speaks.get(upstream), [era]: speaks })
  }

  #readStderr (cell: Cell, upstream: string, owner: string): void {
    let rest = ''
    let left = maxStderrLines
    let since = Date.now()
    cell.stderr.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString('utf8')).split('\n')
      rest = (lines.pop() ?? '').slice(-4096)
      if (Date.now() - since > 1000) {
        if (left < 0) this.#events.stderr(upstream, owner, `(${-left} more lines were left out)`)
        left = maxStderrLines
        since = Date.now()
      }
      for (const line of lines) if (line.trim() !== '' && --left >= 0) this.#events.stderr(upstream, owner, line.slice(0, 4096))
    })
  }
}
