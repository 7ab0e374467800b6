import { sql, type Kysely } from 'kysely'

import { columns, names } from './migrations/0004_ledger_chain.ts'
import type { Schema } from './schema.ts'

type Db = Kysely<Schema>

/** What the database says of a chain. */
export interface ChainRow {
  readonly id: string
  readonly node: string
  readonly openedAt: Date
  readonly closedAt: Date | null
  readonly lastSeq: number
  readonly lastTs: Date | null
  readonly lastHash: Buffer | null
  readonly prunedSeq: number
  readonly prunedHash: Buffer | null
  readonly gaps: readonly { readonly after: number, readonly before: number, readonly hash: string }[]
}

/** Every chain, oldest first. */
export async function chainRows (db: Db): Promise<ChainRow[]> {
  const { rows } = await sql<ChainRow>`
    select chain_id as id, node, coalesce(${told('opened_at')}, 'epoch') as "openedAt", ${told('closed_at')} as "closedAt", last_seq::float8 as "lastSeq", ${told('last_ts')} as "lastTs", last_hash as "lastHash",
      pruned_seq::float8 as "prunedSeq", pruned_hash as "prunedHash", gaps
    from ledger.chain order by opened_at, chain_id`.execute(db)
  return rows
}

/** No gateway wrote any other time, and not every other one can be told; a chain that was opened then does not fit its records. */
function told (column: string) {
  return sql.raw(`case when ${column} between '0001-01-01' and '9999-12-31' then ${column} end`)
}

/** Chains that have records but no row of their own. */
export async function strayChains (db: Db): Promise<string[]> {
  // A loose index scan: one look a chain, however many records there are.
  const { rows } = await sql<{ id: string }>`
    with recursive seen as (
      (select chain_id from ledger.event order by chain_id limit 1)
      union all
      select (select e.chain_id from ledger.event e where e.chain_id > seen.chain_id order by e.chain_id limit 1) from seen where seen.chain_id is not null
    ) select chain_id as id from seen where chain_id is not null and not exists (select from ledger.chain c where c.chain_id = seen.chain_id)`.execute(db)
  return rows.map(({ id }) => id)
}

/** Consecutive records of a chain. */
export interface Page {
  readonly count: number
  /** Their texts, each of which ends with a line feed. */
  readonly texts: string
}

/** The next records after number `after`, up to `head`, at most `rows`; undefined when there are none. */
export async function nextPage (db: Db, chain: string, after: number, head: number, rows: number): Promise<Page | undefined> {
  const { rows: [page] } = await sql<Page>`
    select count(*)::int as count, string_agg(e.body::text || E'\\n', '' order by e.seq, e.ts) as texts from (${slice(chain, after, head, rows)}) e`.execute(db)
  return page === undefined || page.count === 0 ? undefined : page
}

/** One record of a stretch in which something does not fit. */
export interface SuspectRow {
  readonly seq: number
  readonly record: string
  /** An infinite number where the database has an infinite time, and no valid date for one that no date can hold. */
  readonly ts: Date | number
  readonly body: string
  readonly hash: Buffer | null
  /** Its columns say what its text says. */
  readonly asWritten: boolean
}

/** The next records after number `after`, up to `head`, at most `rows`. */
export async function suspects (db: Db, chain: string, after: number, head: number, rows: number): Promise<SuspectRow[]> {
  const { rows: found } = await sql<SuspectRow>`
    select e.seq::float8 as seq, e.record, e.ts, e.body::text as body, e.hash, ${asWritten} as "asWritten" from (${slice(chain, after, head, rows)}) e order by e.seq, e.ts`.execute(db)
  return found
}

/** The first of the records with these numbers whose columns do not say what its text says. */
export async function notAsWritten (db: Db, chain: string, numbers: readonly number[]): Promise<number | undefined> {
  const { rows } = await sql<{ seq: number | null }>`
    select min(e.seq)::float8 as seq from ledger.event e where e.chain_id = ${chain} and e.seq = any(${numbers}::bigint[]) and not ${asWritten}`.execute(db)
  return rows[0]?.seq ?? undefined
}

function slice (chain: string, after: number, head: number, rows: number) {
  return sql`select * from ledger.event where chain_id = ${chain} and seq > ${after} and seq <= ${head} order by seq, ts limit ${rows}`
}

/** Whoever changes a column alone leaves the text, and with it the hash, as it was. */
const asWritten = sql.raw(`(select row(e.ts, ${names.split(', ').map(name => `e.${name}`).join(', ')}) is not distinct from row(r.ts, ${names.split(', ').map(name => `r.${name}`).join(', ')})
  from json_to_record(e.body) as r(ts timestamptz, ${columns.join(', ')}))`)

/** The first number that is none of the chain's: beyond its head, or among those that retention took. */
export async function outsideChain (db: Db, chain: string, pruned: number, head: number): Promise<number | undefined> {
  const { rows } = await sql<{ seq: number }>`select seq::float8 as seq from ledger.event where chain_id = ${chain} and (seq > ${head} or seq <= ${pruned}) order by seq limit 1`.execute(db)
  return rows[0]?.seq
}
