import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** Keeps a signed statement about a chain; the same one twice is one. */
export async function addCheckpoint (db: Kysely<Schema>, chain: string, seq: number, statement: string): Promise<void> {
  await sql`select ledger.add_checkpoint(${chain}, ${seq}, ${statement})`.execute(db)
}

/** Every statement there is, by chain and number. */
export async function checkpointLines (db: Kysely<Schema>): Promise<string[]> {
  const { rows } = await sql<{ statement: string }>`select statement from ledger.checkpoint order by chain_id, seq`.execute(db)
  return rows.map(({ statement }) => statement)
}
