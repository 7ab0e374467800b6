import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** Where a record stands, with its text and the hash before it; one for each thing that was written under its id. */
export interface RecordPlace {
  readonly chain: string
  readonly seq: number
  readonly text: string
  readonly before: Buffer
}

/** Oldest first; empty when there is no such record. */
export async function recordPlace (db: Kysely<Schema>, record: string): Promise<RecordPlace[]> {
  const { rows } = await sql<Omit<RecordPlace, 'before'> & { before: Buffer | null, node: string, openedAt: Date }>`
    select e.chain_id as chain, e.seq::float8 as seq, e.body::text as text,
      coalesce((select b.hash from ledger.event b where b.chain_id = e.chain_id and b.seq = e.seq - 1 limit 1),
        case when c.pruned_seq = e.seq - 1 and e.seq > 1 then c.pruned_hash end,
        ledger.genesis(c.chain_id, c.node, c.opened_at)) as before
    from ledger.event e join ledger.chain c on c.chain_id = e.chain_id where e.record = ${record} order by e.ts, e.seq`.execute(db)
  return rows.flatMap(({ chain, seq, text, before }) => before === null ? [] : [{ chain, seq, text, before }])
}

/** Texts of the records after `seq`, up to `last`, in order. */
export async function recordsBetween (db: Kysely<Schema>, chain: string, seq: number, last: number): Promise<string[]> {
  const { rows } = await sql<{ text: string }>`
    select e.body::text as text from ledger.event e where e.chain_id = ${chain} and e.seq > ${seq} and e.seq <= ${last} order by e.seq`.execute(db)
  return rows.map(({ text }) => text)
}
