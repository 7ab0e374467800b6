import type { Database } from '../../db/connect.ts'
import { eventsOf } from '../../db/events.ts'
import type { Entry, Ledger } from './ledger.ts'
import type { PayloadKeys } from './payload-keys.ts'
import { openPayload } from './sealed.ts'
import type { Payload } from './sealed.ts'

/** Who asks, for the record: an auditor that logged in, or the account at the command line. */
export type Reader = Pick<Entry, 'principal' | 'source'> & { readonly account?: string | undefined }

interface Reading {
  readonly database: Pick<Database, 'db'>
  readonly ledger: Pick<Ledger, 'append' | 'durable' | 'newRecord'>
  readonly keys: PayloadKeys
}

/**
 * The payloads of one record, opened; empty when none were kept. That somebody looks is on the record first: rejects
 * with a Refusal when it cannot be recorded.
 */
export async function readPayloads ({ database, ledger, keys }: Reading, record: string, by: Reader): Promise<Payload[]> {
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
export async function forgetPayloads ({ ledger, keys }: Omit<Reading, 'database'>, user: { readonly id: string, readonly name?: string | undefined }, by: Reader): Promise<number> {
  await onRecord(ledger, by, { action: 'forget payloads', user: user.name, user_id: user.id })
  return await keys.destroy(user.id)
}

async function onRecord (ledger: Reading['ledger'], { account, ...by }: Reader, detail: Readonly<Record<string, unknown>>): Promise<void> {
  ledger.append({ kind: 'admin', record: ledger.newRecord(), ...by, outcome: 'ok', detail: { ...detail, account } })
  await new Promise<void>((resolve, reject) => ledger.durable((error) => error === undefined ? resolve() : reject(error)))
}
