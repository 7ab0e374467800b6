import { open, seal } from '../identity/seal.ts'
import type { PayloadKey } from './payload-keys.ts'

/** What of a call is sealed: its arguments, in the intent; its result, in the outcome. */
export type Part = 'arguments' | 'result'

/** The text, so that only the key opens it and only as this part of this record: `<key id>.<base64url>`. */
export function sealPayload (key: PayloadKey, record: string, part: Part, text: string): string {
  return `${key.id}.${seal(key.secret, `${record} ${part}`, Buffer.from(text)).toString('base64url')}`
}

/** A payload as an auditor gets it. */
export type Payload = { readonly part: Part, readonly text: string } | { readonly part: Part, readonly problem: string }

/** Opens what `sealPayload` made. What cannot be opened says why. */
export async function openPayload (keys: { find (id: string): Promise<PayloadKey | undefined> }, record: string, part: Part, sealed: string): Promise<Payload> {
  const [id = '', body = ''] = sealed.split('.')
  const key = await keys.find(id)
  if (key === undefined) return { part, problem: 'its key was destroyed' }
  try {
    return { part, text: open(key.secret, `${record} ${part}`, Buffer.from(body, 'base64url')).toString() }
  } catch {
    return { part, problem: 'it was not sealed as this part of this record, or was changed since' }
  }
}
