import type { UpstreamSpec } from '../config/config.ts'
import { Refusal } from '../errors.ts'
import type { Era } from '../protocol/era.ts'
import type { Instance } from './instance.ts'
import type { Guest } from './room.ts'

/** Whose instance is wanted, and for whom it is started when there is none. */
export interface Owner {
  readonly user: { readonly id: string, readonly name: string }
  /** Session id, for upstreams with `isolation: session`. */
  readonly session: string | undefined
}

/** One place an instance may sit: upstream × owner × era. Remembers failures while nobody sits there. */
export interface Seat {
  readonly spec: UpstreamSpec
  readonly owner: string
  readonly era: Era
  instance: Instance | undefined
  starting: Promise<Instance> | undefined
  failures: number
  notBefore: number
  /** Whoever it is starting for may not have it any more. */
  ended: boolean
  /** What its last instance offered, and whether that one ended unasked. */
  listed: string | undefined
  crashed: boolean
  /** Names of the tools that its last instance listed, once that one is gone. */
  known: ReadonlySet<string>
  /** Its own era was refused, and it waits for the seat of the other one. */
  waiting: boolean
}

/** A seat nobody has sat on yet. */
export function emptySeat (spec: UpstreamSpec, owner: string, era: Era): Seat {
  return { spec, owner, era, instance: undefined, starting: undefined, failures: 0, notBefore: 0, ended: false, waiting: false, listed: undefined, crashed: false, known: none }
}

const none: ReadonlySet<string> = new Set()

/** Nobody sits there any more; which tools there were is remembered. Returns who sat there. */
export function vacate (seat: Seat): Instance | undefined {
  const { instance } = seat
  if (instance !== undefined) seat.known = new Set(instance.tools.keys())
  seat.instance = undefined
  return instance
}

/**
 * Notes a failure: the first costs nothing, then the pause doubles from half a second to thirty seconds, with jitter so
 * that many seats do not return at once.
 * @param jitter 0 … 1: a pause is from three quarters to five quarters of its length
 */
export function backOff (seat: Seat, now = Date.now(), jitter = Math.random): void {
  const delay = Math.min(30_000, 500 * 2 ** seat.failures)
  seat.failures++
  seat.notBefore = now + (seat.failures === 1 ? 0 : delay * (0.75 + jitter() / 2))
}

/** Does it belong to this user, alone or for one of their sessions? */
export function isOf ({ owner }: Seat, userId: string): boolean {
  return owner === userId || owner.startsWith(`${userId} `)
}

/** As the bounds count it: what everybody shares is nobody's own. */
export function guestOf ({ spec, owner }: Seat): Guest {
  return { upstream: spec.name, user: owner === '*' ? undefined : owner.split(' ')[0] }
}

/** Who shares an instance with whom, as the upstream's `isolation` says. */
export function ownerKey (spec: UpstreamSpec, owner: Owner): string {
  switch (spec.isolation) {
    case 'shared': return '*'
    case 'user': return owner.user.id
    case 'session': return owner.session === undefined ? owner.user.id : `${owner.user.id} ${owner.session}`
  }
}

/** The other era. */
export function other (era: Era): Era {
  return era === 'legacy' ? 'modern' : 'legacy'
}

/** The refusal of an upstream that cannot be had now; a refusal that says more is passed on. */
export function unavailable (upstream: string, why: string, cause: unknown, retryAfterMs: number): Refusal {
  if (cause instanceof Refusal && cause.code !== 'PORTCULLIS_UPSTREAM_FAILED' && cause.code !== 'PORTCULLIS_TIMEOUT') return cause
  return new Refusal('PORTCULLIS_UPSTREAM_UNAVAILABLE', { message: `The upstream "${upstream}" is not available. ${why}`, cause, data: { retryAfterMs: Math.max(0, Math.round(retryAfterMs)) } })
}
