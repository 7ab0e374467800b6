import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

type Db = Kysely<Schema>

export interface ChainExtent {
  readonly chain: string
  /** Number of its last record. */
  readonly head: number
  /** Up to here retention has taken them away. */
  readonly pruned: number
}

/** Every chain with a record since then, oldest first. */
export async function chainExtents (db: Db, since: Date | undefined): Promise<ChainExtent[]> {
  // The last time of a chain is that of its last batch's first record.
  const { rows } = await sql<ChainExtent>`
    select c.chain_id as chain, c.last_seq::float8 as head, c.pruned_seq::float8 as pruned from ledger.chain c
    where ${since ?? null}::timestamptz is null or c.last_ts >= ${since ?? null}::timestamptz - interval '1 day'
    order by c.opened_at, c.chain_id`.execute(db)
  return rows
}

/** Number of the last record of a chain from before that time. */
export async function lastBefore (db: Db, chain: string, time: Date): Promise<number> {
  const { rows } = await sql<{ seq: number }>`
    select coalesce((select e.seq - 1 from ledger.event e where e.chain_id = ${chain} and e.ts >= ${time} order by e.ts, e.seq limit 1),
      (select c.last_seq from ledger.chain c where c.chain_id = ${chain}))::float8 as seq`.execute(db)
  return rows[0]?.seq ?? 0
}
