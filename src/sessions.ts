import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Call, Principal } from './call.ts'
import type { Speaker } from './ledger/entry.ts'
import { packAbilities, unpackAbilities } from './protocol/capabilities.ts'
import type { Need } from './protocol/capabilities.ts'
import type { LogLevel } from './protocol/era.ts'
import type { Params, RequestId } from './protocol/message.ts'

export interface Client {
  readonly name: string
  readonly version: string
}

/** What a legacy client was asked on behalf of one of its calls. */
export interface Asked {
  readonly call: Call
  /** Takes `result` or `error` of the response, or an error of our own; called once. */
  respond (response: Params): void
}

/** One legacy client's conversation. It holds no rights: those are looked up anew for every message. */
export class Session {
  readonly id: string
  readonly principalId: string
  /** The revision negotiated at initialize. */
  readonly version: string
  readonly client: Client
  /** What the client can be asked. */
  readonly able: ReadonlySet<Need>
  /** What it was asked and has not answered yet, by the id of the question. */
  readonly asked = new Map<RequestId, Asked>()
  /** Name and version of the client in one, and the end of the id: how records name them. */
  readonly clientLabel: string
  readonly label: string
  /** What proves that the id is ours; names the session where the id itself should not stand. */
  readonly seal: string
  logLevel: LogLevel | undefined = undefined
  /** Resource URIs whose updates this client asked for → the upstream that tells of them. */
  readonly subscriptions = new Map<string, string>()
  /** URL questions whose end an upstream may still tell, as `upstream id`. */
  readonly #visits = new Set<string>()
  /** Calls in flight, for notifications/cancelled. */
  readonly calls: Call[] = []
  /** Streams that are open for it. */
  streams = 0
  /** When it said something last, in Unix milliseconds. */
  lastSeen = Date.now()
  /** How records name it, kept from one call to the next. */
  speaker: Speaker | undefined = undefined

  constructor (id: string, principalId: string, version: string, client: Client, able: ReadonlySet<Need>) {
    this.id = id
    this.able = able
    this.principalId = principalId
    this.version = version
    this.client = client
    this.clientLabel = `${client.name}/${client.version}`
    this.label = id.slice(-12)
    this.seal = id.slice(id.indexOf('.') + 1)
  }

  /** Something of it is under way that is lost with it. */
  get isBusy (): boolean {
    return this.calls.length > 0 || this.asked.size > 0 || this.streams > 0
  }

  /** The call is over: nothing can be asked or answered about it any more. */
  remove (call: Call): void {
    for (const [id, asked] of this.asked) if (asked.call === call) this.takeAsked(id)?.respond({ error: { code: -32603, message: 'The call is over.' } })
    const at = this.calls.indexOf(call)
    if (at < 0) return
    const last = this.calls.pop()
    if (last !== undefined && at < this.calls.length) this.calls[at] = last
  }

  /** The client was sent to a URL: when the upstream says that this is done, the client hears of it. */
  expectVisit (upstream: string, elicitationId: unknown): void {
    if (typeof elicitationId !== 'string' || elicitationId.length > 256) return
    const [oldest] = this.#visits
    if (this.#visits.size >= maxVisits && oldest !== undefined) this.#visits.delete(oldest)
    this.#visits.add(`${upstream} ${elicitationId}`)
  }

  expectsVisit (upstream: string, elicitationId: unknown): boolean {
    return this.#visits.has(`${upstream} ${String(elicitationId)}`)
  }

  /** What was asked under this id, once. */
  takeAsked (id: RequestId): Asked | undefined {
    const asked = this.asked.get(id)
    this.asked.delete(id)
    return asked
  }
}

/** URL questions of one session that are remembered. */
const maxVisits = 64
const idleMs = 30 * 60_000
/** How often those that nobody uses are looked for, in milliseconds: most clients never say that they leave. */
const reapMs = 60_000
const maxSessions = 50_000
const maxEnded = 100_000
/** Of one principal, in memory: nobody pushes the sessions of others out. A session that is dropped here comes back when it is used. */
const maxSessionsPerPrincipal = 500
/** How long an id is good, in milliseconds. */
export const maxAgeMs = 30 * 24 * 3_600_000

/**
 * Sessions of legacy clients. An id is sealed and says everything a session needs (principal, revision, client), so
 * it stays good after a restart and on any replica: no client library initializes again after a 404.
 */
export class Sessions {
  readonly #key: Buffer
  readonly #live: LRUCache<string, Session>
  readonly #byPrincipal = new Map<string, Set<Session>>()
  readonly #bySeal = new Map<string, Session>()
  /** Seals of sessions that were ended. */
  readonly #ended = new LRUCache<string, true>({ max: maxEnded, ttl: maxAgeMs })

  readonly #timer: NodeJS.Timeout

  /**
   * @param key secret that ids are sealed with; the same on every replica
   * @param options.onIdle hears of each session that was not used for `idleMs` and is forgotten
   */
  constructor (key: Buffer, options: { readonly idleMs?: number, readonly reapMs?: number, onIdle?: (session: Session) => void } = {}) {
    this.#key = key
    this.#live = new LRUCache<string, Session>({
      max: maxSessions,
      ttl: options.idleMs ?? idleMs,
      updateAgeOnGet: true,
      ttlResolution: 1000,
      dispose: (session, _id, why) => {
        this.#forget(session)
        if (why === 'expire') options.onIdle?.(session)
      },
    })
    this.#timer = setInterval(() => this.#live.purgeStale(), options.reapMs ?? reapMs).unref()
  }

  close (): void {
    clearInterval(this.#timer)
  }

  get size (): number {
    return this.#live.size
  }

  /** A session that is not among them before it is kept. */
  create (principal: Principal, version: string, client: Client, able: ReadonlySet<Need> = new Set()): Session {
    const named = { name: client.name.slice(0, 64), version: client.version.slice(0, 32) }
    const payload = JSON.stringify([principal.id, version, Date.now(), named.name, named.version, randomBytes(9).toString('base64url'), packAbilities(able)])
    const body = Buffer.from(payload).toString('base64url')
    return new Session(`${body}.${this.#seal(body)}`, principal.id, version, named, able)
  }

  /** The session of this id if it belongs to the principal; undefined when it never existed, ended, or is somebody else's. */
  find (id: string, principal: Principal): Session | undefined {
    const session = this.#live.get(id) ?? this.#revive(id)
    return session?.principalId === principal.id && !this.#ended.has(session.seal) ? session : undefined
  }

  /** Holds a session that begins, or that an open stream uses, whether or not anything is called. */
  keep (session: Session): void {
    if (!this.#ended.has(session.seal) && this.#live.get(session.id) !== session) this.#keep(session)
  }

  end (session: Session): void {
    this.#live.delete(session.id)
    this.#ended.set(session.seal, true)
  }

  /** The same for a session that was ended elsewhere, of which only the seal is known. Returns it if it was used here, too. */
  deny (seal: string): Session | undefined {
    const session = this.#bySeal.get(seal)
    if (session === undefined) this.#ended.set(seal, true)
    else this.end(session)
    return session
  }

  all (): Iterable<Session> {
    return this.#live.values()
  }

  of (principalId: string): Iterable<Session> {
    return this.#byPrincipal.get(principalId) ?? []
  }

  #keep (session: Session): void {
    const own = this.#byPrincipal.get(session.principalId) ?? new Set()
    this.#byPrincipal.set(session.principalId, own.add(session))
    this.#live.set(session.id, session)
    this.#bySeal.set(session.seal, session)
    if (own.size > maxSessionsPerPrincipal) this.#live.delete(leastUsed([...own].filter((other) => other !== session)).id)
  }

  #forget (session: Session): void {
    this.#bySeal.delete(session.seal)
    const own = this.#byPrincipal.get(session.principalId)
    own?.delete(session)
    if (own?.size === 0) this.#byPrincipal.delete(session.principalId)
  }

  #revive (id: string): Session | undefined {
    const [body, seal, more] = id.split('.')
    if (id.length > 1024 || body === undefined || seal === undefined || more !== undefined || this.#ended.has(seal) || !same(seal, this.#seal(body))) return undefined
    const [principalId, version, created, name, clientVersion, , able] = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as [string, string, number, string, string, string, string | undefined]
    if (Date.now() - created > maxAgeMs) return undefined
    const session = new Session(id, principalId, version, { name, version: clientVersion }, unpackAbilities(able ?? ''))
    this.#keep(session)
    return session
  }

  #seal (body: string): string {
    return createHmac('sha256', this.#key).update(body).digest().subarray(0, 18).toString('base64url')
  }
}

/** The one that was silent longest, of those with nothing under way if there are any. */
function leastUsed (sessions: readonly Session[]): Session {
  return sessions.reduce((least, session) => session.isBusy === least.isBusy ? (session.lastSeen < least.lastSeen ? session : least) : least.isBusy ? session : least)
}

function same (a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}
