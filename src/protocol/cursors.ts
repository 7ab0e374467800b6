import { createHmac, timingSafeEqual } from 'node:crypto'
import { isObject } from './message.ts'

/** Where the next page of a merged list begins. */
export interface Place { readonly upstream: string, readonly offset: number }

/** Whose page it is: a cursor is good for one principal, one kind of list and what policy lets them see of it. */
export interface Bound { readonly principalId: string, readonly method: string }

/** A cursor that says where the next page begins, readable by anybody and usable by the principal it was made for. */
export function sealCursor (key: Buffer, bound: Bound, { upstream, offset }: Place): string {
  const body = Buffer.from(JSON.stringify({ upstream, offset })).toString('base64url')
  return `${body}.${macOf(key, bound, body)}`
}

/** The place; undefined when the cursor was made for somebody else or another list, was altered, or is none of ours. */
export function openCursor (key: Buffer, bound: Bound, cursor: unknown): Place | undefined {
  if (typeof cursor !== 'string' || cursor.length > 512) return undefined
  const [body, mac, more] = cursor.split('.')
  if (body === undefined || mac === undefined || more !== undefined || !same(mac, macOf(key, bound, body))) return undefined
  const place: unknown = JSON.parse(Buffer.from(body, 'base64url').toString('utf8'))
  return isObject(place) ? { upstream: String(place['upstream']), offset: Number(place['offset']) } : undefined
}

function macOf (key: Buffer, { principalId, method }: Bound, body: string): string {
  return createHmac('sha256', key).update(JSON.stringify(['cursor', principalId, method, body])).digest().subarray(0, 18).toString('base64url')
}

function same (a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
