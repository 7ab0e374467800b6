import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Era } from './era.ts'

/** A task that an upstream works on: what its id stands for. */
export interface Task {
  readonly upstream: string
  /** The tool that was called: what policy says of the tool, it says of the task. */
  readonly tool: string
  /** What the upstream calls the task. */
  readonly id: string
}

/** Whose task it is. The eras have different tasks, and a task of one means nothing in the other. */
export interface Owner { readonly principalId: string, readonly era: Era }

/** Longest id of an upstream that is passed on, in characters. */
const maxId = 512

/** The id a client gets: readable by anybody, and usable by the principal it was made for. Undefined: the upstream's own is too long. */
export function sealTask (key: Buffer, owner: Owner, { upstream, tool, id }: Task): string | undefined {
  if (id.length > maxId) return undefined
  const body = Buffer.from(JSON.stringify([upstream, tool, id])).toString('base64url')
  return `${body}.${macOf(key, owner, body)}`
}

/** The task, if it is this principal's; undefined when the id is somebody else's, was altered, or is none of ours. */
export function openTask (key: Buffer, owner: Owner, sealed: unknown): Task | undefined {
  if (typeof sealed !== 'string' || sealed.length > 8192) return undefined
  const [body, mac, more] = sealed.split('.')
  if (body === undefined || mac === undefined || more !== undefined || !same(mac, macOf(key, owner, body))) return undefined
  const [upstream, tool, id] = JSON.parse(Buffer.from(body, 'base64url').toString('utf8')) as [string, string, string]
  return { upstream, tool, id }
}

function macOf (key: Buffer, { principalId, era }: Owner, body: string): string {
  return createHmac('sha256', key).update(JSON.stringify(['task', principalId, era, body])).digest().subarray(0, 18).toString('base64url')
}

function same (a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
