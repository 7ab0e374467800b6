import { Refusal } from '../../src/errors.ts'
import { NO_PLACE } from '../../src/identity/page.ts'
import type { Page, PageRequest } from '../../src/identity/page.ts'

/** The query of every list: how many, and from where on. */
export const LISTING = {
  type: 'object',
  properties: { limit: { type: 'integer', minimum: 1, maximum: 200 }, after: { type: 'string', minLength: 1, maxLength: 400 }, user: { type: 'string', minLength: 1, maxLength: 256 } },
  additionalProperties: false,
}

export interface Listing { readonly limit?: number, readonly after?: string, readonly user?: string }

/** `after` is the place that the page before ended at; its text is ours alone to read. */
export function pageOf ({ limit = 50, after }: Listing): PageRequest {
  return { limit, after: after === undefined ? undefined : readPlace(after) }
}

/** The list under its name, and `next`: what to send as `after` for the rest, or null. */
export function onWire<Row> (name: string, { rows, next }: Page<Row>): object {
  return { [name]: rows, next: next === undefined ? null : Buffer.from(JSON.stringify(next)).toString('base64url') }
}

function readPlace (text: string): readonly string[] {
  try {
    const place: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (Array.isArray(place) && place.length <= 2 && place.every((part) => typeof part === 'string' && !part.includes('\0'))) return place
  } catch {
    // Said below.
  }
  throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: NO_PLACE })
}
