import type { Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { isAtLeast } from '../../src/protocol/era.ts'
import type { LogLevel } from '../../src/protocol/era.ts'
import { notification } from '../../src/protocol/reply.ts'
import { comeBack, keepAlive, keepAliveMs } from '../../src/protocol/sse.ts'
import type { Session } from '../../src/sessions.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import { mayRead } from './may-read.ts'

/** One open stream that news of upstreams may go to: a legacy GET stream, or a 2026-07-28 listen. */
export interface Stream {
  /** Renewed when the rights of its owner change. */
  principal: Principal
  /** The Authorization header it was opened with. */
  readonly authorization: string | undefined
  readonly session: Session | undefined
  readonly endpoint: string | undefined
  /** Methods this stream wants; undefined = whatever concerns its session. */
  readonly wants: ReadonlySet<string> | undefined
  /** Resources a listen asked for → the upstream that tells of them; a session keeps its own. */
  readonly resources: ReadonlyMap<string, string> | undefined
  /** Extra `_meta` of each notification, as subscriptions/listen requires. */
  readonly meta: Readonly<Record<string, unknown>> | undefined
  send (message: string): void
  /** Keeps it open; false when the reader takes nothing any more. */
  comment (text: string): boolean
  /** Ends the stream for good, telling the client as its era does. */
  end (): void
}

const changes = new Set(['notifications/tools/list_changed', 'notifications/prompts/list_changed', 'notifications/resources/list_changed'])

/** Changes of lists come in bursts; what changed within so many milliseconds is told once. */
const settlingMs = 100

/** The open streams, and which of them hears what. News of one principal's instance goes to that principal only. */
export class Streams {
  readonly #open = new Set<Stream>()
  /** Those whose rights could not be asked for when they may have changed. */
  readonly #unsure = new WeakSet<Stream>()
  readonly #timer: NodeJS.Timeout
  /** Changes of lists that are told shortly, each once, by upstream instance and list. */
  readonly #changed = new Map<Instance, Set<string>>()
  #telling: NodeJS.Timeout | undefined
  readonly #policy: Policy
  readonly #authenticate: (authorization: string | undefined) => Promise<Principal>
  readonly #keep: (session: Session) => void

  /**
   * @param authenticate the principal of an Authorization header, as of now
   * @param keep holds the session of an open stream
   */
  constructor (policy: Policy, authenticate: (authorization: string | undefined) => Promise<Principal>, keep: (session: Session) => void) {
    this.#policy = policy
    this.#authenticate = authenticate
    this.#keep = keep
    this.#timer = setInterval(() => this.#keepAlive(), keepAliveMs)
    this.#timer.unref()
  }

  get size (): number {
    return this.#open.size
  }

  /** @returns the function that takes the stream out again */
  add (stream: Stream): () => void {
    const { session } = stream
    this.#open.add(stream)
    if (session !== undefined) session.streams++
    this.#renew(stream) // an upstream may have had to start since it was asked for, and rights changed meanwhile
    return () => { if (this.#open.delete(stream) && session !== undefined) session.streams-- }
  }

  ofSession (session: Session): Stream | undefined {
    for (const stream of this.#open) if (stream.session?.id === session.id) return stream
    return undefined
  }

  /** How many streams a principal has open. */
  countOf (principal: Principal): number {
    let count = 0
    for (const stream of this.#open) if (stream.principal.id === principal.id) count++
    return count
  }

  /** The listens of this principal, or of anybody, that wait for changes of resources. */
  * listens (principalId: string | undefined): Generator<Pick<Stream, 'principal'> & { readonly resources: ReadonlyMap<string, string> }> {
    for (const { principal, resources } of this.#open) {
      if (resources !== undefined && (principalId === undefined || principal.id === principalId)) yield { principal, resources }
    }
  }

  /** Passes on what an upstream says outside of any answer. */
  publish (instance: Instance, method: string, params: Record<string, unknown>): void {
    if (changes.has(method)) return this.#change(instance, method)
    if (method === 'notifications/resources/updated') return this.#update(instance, params)
    if (method === 'notifications/elicitation/complete') return this.#toAll(instance, method, params, ({ session }) => session?.expectsVisit(instance.upstream, params['elicitationId']) === true)
    if (method === 'notifications/message') return this.#log(instance, params)
  }

  close (): void {
    clearInterval(this.#timer)
    clearTimeout(this.#telling)
    for (const stream of [...this.#open]) {
      if (stream.session?.version === '2025-11-25') stream.comment(comeBack) // earlier clients take an event without data for a message
      stream.end()
    }
  }

  /** Something about a user changed: their streams go by the rights that are left, and end without a credential that is honoured. */
  recheck (userId: string): void {
    for (const stream of [...this.#open]) if (stream.principal.id === userId) this.#renew(stream)
  }

  /** Only a refusal ends a stream: a database that cannot be asked says nothing of the credential, and is asked again. */
  #renew (stream: Stream): void {
    this.#authenticate(stream.authorization).then((principal) => {
      stream.principal = principal
      this.#unsure.delete(stream)
    }, (error: unknown) => {
      if (error instanceof Refusal && (error.status === 401 || error.status === 403)) stream.end()
      else this.#unsure.add(stream)
    })
  }

  /** An expired credential ends its stream, as it would end a request. */
  #keepAlive (): void {
    const now = Date.now()
    for (const stream of [...this.#open]) {
      if (stream.session !== undefined) this.#keep(stream.session)
      if (this.#unsure.has(stream)) this.#renew(stream)
      if (stream.principal.expiresAt <= now || !stream.comment(keepAlive)) stream.end()
    }
  }

  #change (instance: Instance, method: string): void {
    const methods = this.#changed.get(instance) ?? new Set<string>()
    this.#changed.set(instance, methods.add(method))
    this.#telling ??= setTimeout(() => this.#tellChanges(), settlingMs).unref()
  }

  /** Whoever sees several instances in one list hears of it once. */
  #tellChanges (): void {
    this.#telling = undefined
    const changed = [...this.#changed]
    this.#changed.clear()
    for (const stream of this.#open) {
      const methods = new Set(changed.flatMap(([instance, methods]) => [...methods].filter((method) => this.#concerns(stream, instance, method))))
      for (const method of methods) stream.send(notification(method, stream.meta === undefined ? {} : { _meta: stream.meta }))
    }
  }

  #concerns (stream: Stream, instance: Instance, method: string): boolean {
    return hears(stream, instance, method) && this.#policy.reaches(stream.principal, instance.upstream)
  }

  /** Whoever subscribed could read the resource then; only who can now hears of it. */
  #update (instance: Instance, params: Record<string, unknown>): void {
    const { uri } = params
    if (typeof uri !== 'string') return
    this.#toAll(instance, 'notifications/resources/updated', params, ({ principal, session, resources }) =>
      (session?.subscriptions.has(uri) === true || resources?.has(uri) === true) && mayRead(this.#policy, principal, instance.upstream, uri))
  }

  #toAll (instance: Instance, method: string, params: Record<string, unknown>, concerned: (stream: Stream) => boolean): void {
    for (const stream of this.#open) {
      if (!this.#concerns(stream, instance, method) || !concerned(stream)) continue
      stream.send(notification(method, stream.meta === undefined ? params : { ...params, _meta: stream.meta }))
    }
  }

  /** A log message goes to the owner's streams at their level, and to the one call it can belong to if its client has none. */
  #log (instance: Instance, params: Record<string, unknown>): void {
    if (instance.owner === '*') return // nobody can say whose call a shared process is talking about
    let heard = false
    this.#toAll(instance, 'notifications/message', params, ({ session }) => {
      heard ||= session !== undefined
      return session !== undefined && (session.logLevel === undefined || isAtLeast(params['level'], session.logLevel))
    })
    instance.onlyCaller()?.log?.(params, heard)
  }
}

/** The most verbose of the levels that were asked for. */
export function mostVerbose (levels: Iterable<LogLevel | undefined>): LogLevel | undefined {
  let result: LogLevel | undefined
  for (const level of levels) if (level !== undefined && (result === undefined || isAtLeast(result, level))) result = level
  return result
}

function hears (stream: Stream, instance: Instance, method: string): boolean {
  if (instance.owner !== '*' && instance.owner.split(' ')[0] !== stream.principal.id) return false
  if (stream.endpoint !== undefined && stream.endpoint !== instance.upstream) return false
  return stream.wants === undefined || stream.wants.has(method)
}
