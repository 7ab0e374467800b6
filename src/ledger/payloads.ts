import type { Database } from '../../db/connect.ts'
import { eventsOf } from '../../db/events.ts'
import type { Ledger } from './ledger.ts'
import { onRecord } from './on-record.ts'
import type { Actor } from './on-record.ts'
import type { PayloadKeys } from './payload-keys.ts'
import { openPayload } from './sealed.ts'
import type { Payload } from './sealed.ts'

interface Reading {
  readonly database: Pick<Database, 'db'>
  readonly ledger: Pick<Ledger, 'append' | 'durable' | 'newRecord'>
  readonly keys: PayloadKeys
}

/**
 * The payloads of one record, opened; empty when none were kept. That somebody looks is on the record first: rejects
 * with a Refusal when it cannot be recorded.
 */
export async function readPayloads ({ database, ledger, keys }: Reading, record: string, by: Actor): Promise<Payload[]> {
  const events = await eventsOf(database.db, record)
  const sealed = events.flatMap(({ kind, body }) => {
    const text = (JSON.parse(body) as { sealed?: unknown }).sealed
    return typeof text === 'string' ? [{ part: kind === 'outcome' ? 'result' as const : 'arguments' as const, text }] : []
  })
  if (sealed.length === 0) return []
  await onRecord(ledger, by, { action: 'read payload', of: record })
  return await Promise.all(sealed.map(async ({ part, text }) => await openPayload(keys, record, part, text)))
}

/**
 * Destroys the keys under which this user's payloads are sealed. On the record before it is done: rejects with a Refusal
 * when it cannot be recorded. Returns how many keys there were.
 */
export async function forgetPayloads ({ ledger, keys }: Omit<Reading, 'database'>, user: { readonly id: string, readonly name?: string | undefined }, by: Actor): Promise<number> {
  await onRecord(ledger, by, { action: 'forget payloads', user: user.name, user_id: user.id })
  return await keys.destroy(user.id)
}
