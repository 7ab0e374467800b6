import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

type Db = Kysely<Schema>

/** One partition of the ledger. */
export interface Part {
  /** Its table, such as `event_2026_01`. */
  readonly table: string
  /** No record in it is of that time or later. */
  readonly end: Date
}

/** Every partition with a month of its own, and the default one if there are records in it, oldest first. */
export async function listParts (db: Db): Promise<Part[]> {
  const { rows } = await sql<Part>`
    select c.relname as "table", (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') at time zone 'UTC' as "end"
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'ledger.event'::regclass and c.relname ~ '^event_[0-9]{4}_[0-9]{2}$'
    union all select 'event_default', max(ts) + interval '1 millisecond' from ledger.event_default having count(*) > 0
    order by 2`.execute(db)
  return rows
}

/** The records of one chain in one partition. */
export interface Stretch {
  readonly chain: string
  readonly node: string
  readonly openedAt: Date
  /** Number of the record before the first, and its hash. */
  readonly before: number
  readonly beforeHash: Buffer
  readonly last: number
  readonly lastHash: Buffer
  readonly records: number
}

/** What a partition holds, chain by chain. Chains without a row of their own are left out: nobody can vouch for them. */
export async function stretchesOf (db: Db, { table }: Part): Promise<Stretch[]> {
  const { rows } = await sql<Stretch>`
    with b as (select chain_id, min(seq) as first, max(seq) as last, count(*) as records from ${sql.table(`ledger.${table}`)} group by chain_id)
    select c.chain_id as chain, c.node, c.opened_at as "openedAt", (b.first - 1)::float8 as before, b.last::float8 as last, b.records::float8 as records,
      coalesce((select e.hash from ledger.event e where e.chain_id = b.chain_id and e.seq = b.first - 1 limit 1),
        case when c.pruned_seq = b.first - 1 and b.first > 1 then c.pruned_hash end, ledger.genesis(c.chain_id, c.node, c.opened_at)) as "beforeHash",
      (select e.hash from ledger.event e where e.chain_id = b.chain_id and e.seq = b.last limit 1) as "lastHash"
    from b join ledger.chain c on c.chain_id = b.chain_id order by c.opened_at, c.chain_id`.execute(db)
  return rows
}

/** The hold that keeps a partition, if there is one. */
export async function holdOn (db: Db, { table }: Part): Promise<string | undefined> {
  const { rows } = await sql<{ hold: string | null }>`select ledger.hold_on(${table}) as hold`.execute(db)
  return rows[0]?.hold ?? undefined
}

/**
 * Drops a partition with everything in it. Rejects, and changes nothing, when a hold keeps it, when a signature for
 * retention is missing, or, if it is to be `whole`, when a chain would not go on without a gap.
 */
export async function dropPart (db: Db, { table }: Part, whole: boolean): Promise<void> {
  await sql`select ledger.drop_part(${table}, ${whole})`.execute(db)
}

/** Whether this role owns the ledger, and so may take something out of it. */
export async function ownsLedger (db: Db): Promise<boolean> {
  const { rows } = await sql<{ owner: boolean }>`select pg_has_role(relowner, 'member') as owner from pg_class where oid = 'ledger.event'::regclass`.execute(db)
  return rows[0]?.owner === true
}
