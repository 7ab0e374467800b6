import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { Call } from '../call.ts'
import { isObject } from '../protocol/message.ts'

/** What a requestState of ours says once it has been verified. */
export type State =
  /** The upstream of the session era still works on the call; the id finds it. */
  | { readonly kind: 'parked', readonly id: string }
  /** The upstream wants the same call again once its user has followed a URL. */
  | { readonly kind: 'again' }
  /** A 2026-07-28 upstream's own state, as it gave it; null when it gave none. */
  | { readonly kind: 'theirs', readonly state: string | null }

/** Milliseconds a state is good for. */
export const stateMs = 10 * 60_000

/**
 * A requestState: readable by nobody's leave but good for one purpose. It is bound to the principal, the endpoint, the
 * upstream, the method, the name and the arguments, and ends by itself.
 */
export function sealState (key: Buffer, call: Call, state: State, now: number): string {
  const body = Buffer.from(JSON.stringify([now + stateMs, state])).toString('base64url')
  return `${body}.${macOf(key, call, body)}`
}

/** The state, if this very call may use it at `now`. Undefined when it was altered, is of another call, or too old. */
export function openState (key: Buffer, call: Call, sealed: string, now: number): State | undefined {
  const [body, mac, more] = sealed.split('.')
  if (body === undefined || mac === undefined || more !== undefined || !same(mac, macOf(key, call, body))) return undefined
  const [expires, state] = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as [number, State]
  return now < expires ? state : undefined
}

function macOf (key: Buffer, call: Call, body: string): string {
  const { principal, arrival, target, method } = call
  const { _meta, inputResponses, requestState, ...own } = call.params
  const bound = JSON.stringify([principal.id, arrival.endpoint ?? null, target?.upstream ?? null, method, target?.name ?? null, createHash('sha256').update(canonical(own)).digest('base64url')])
  return createHmac('sha256', key).update(`${body}\n${bound}`).digest('base64url')
}

/** JSON with the members in one order: clients may build the same arguments twice. */
function canonical (value: unknown): string {
  return JSON.stringify(value, (_key, given: unknown) => isObject(given) ? Object.fromEntries(Object.entries(given).sort(([a], [b]) => a < b ? -1 : 1)) : given)
}

function same (a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
