import { sql, type Kysely, type Transaction } from 'kysely'

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
    select chain_id as id, node, opened_at as "openedAt", closed_at as "closedAt", last_seq::float8 as "lastSeq", last_ts as "lastTs", last_hash as "lastHash",
      pruned_seq::float8 as "prunedSeq", pruned_hash as "prunedHash", gaps
    from ledger.chain order by opened_at, chain_id`.execute(db)
  return rows
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
  /** Their hashes, 32 bytes each. */
  readonly hashes: Buffer
  /** The numbers follow on one another, each record has a hash, and its columns say what its text says. */
  readonly sound: boolean
}

/** The next records after number `after`, up to `head`, at most `rows`; undefined when there are none. */
export async function nextPage (db: Db, chain: string, after: number, head: number, rows: number): Promise<Page | undefined> {
  // Most of the time goes to what travels: hence text as it is, and columns that stay where they are.
  const { rows: [page] } = await sql<Page>`
    select count(*)::int as count,
      coalesce(bool_and(e.seq = ${after}::bigint + e.place and e.hash is not null and (${asEncoded} or ${asWritten})), true) as sound,
      coalesce(string_agg(e.text || E'\\n', '' order by e.seq, e.ts), '') as texts, coalesce(string_agg(e.hash, ''::bytea order by e.seq, e.ts), ''::bytea) as hashes
    from (select *, body::text as text, ${beginning} as beginning, ${values} as values, row_number() over (order by seq, ts) as place from (${slice(chain, after, head, rows)}) slice) e`.execute(db)
  return page === undefined || page.count === 0 ? undefined : page
}

/** One record of a page that is not sound. */
export interface SuspectRow {
  readonly seq: number
  readonly record: string
  readonly ts: Date
  readonly body: string
  readonly hash: Buffer | null
  /** Its columns say what its text says. */
  readonly asWritten: boolean
}

/** The same records one by one. */
export async function suspects (db: Db, chain: string, after: number, head: number, rows: number): Promise<SuspectRow[]> {
  const { rows: found } = await sql<SuspectRow>`
    select e.seq::float8 as seq, e.record, e.ts, e.body::text as body, e.hash, ${asWritten} as "asWritten" from (${slice(chain, after, head, rows)}) e order by e.seq, e.ts`.execute(db)
  return found
}

function slice (chain: string, after: number, head: number, rows: number) {
  return sql`select * from ledger.event where chain_id = ${chain} and seq > ${after} and seq <= ${head} order by seq, ts limit ${rows}`
}

/** Whoever changes a column alone leaves the text, and with it the hash, as it was. */
const asWritten = sql.raw(`(select row(e.ts, ${names.split(', ').map(name => `e.${name}`).join(', ')}) is not distinct from row(r.ts, ${names.split(', ').map(name => `r.${name}`).join(', ')})
  from json_to_record(e.body) as r(ts timestamptz, ${columns.join(', ')}))`)

const numbers = ['duration_ms', 'bytes_in', 'bytes_out']

/** How the text of a record begins if the columns say what it says: as `encode` in src/ledger/entry.ts writes it. */
const beginning = sql.raw(`concat('{"ts":"', to_char(ts at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), '"', ${names.split(', ').map(member).join(', ')})`)

function member (name: string): string {
  return numbers.includes(name) ? `',"${name}":' || ${name}` : `',"${name}":"' || ${name} || '"'`
}

/** What may follow in a text, the most frequent first: a member that no column holds, or nothing. */
const rest = [',"policy":', ',"digest":', '}', ',"detail":', ',"sealed":', ',"args":']

/** The columns that could hold a quote or a backslash: with one, a column could pose as several, or as another text. */
const values = sql.raw(`concat(${names.split(', ').filter(name => !numbers.includes(name)).join(', ')})`)

/**
 * The same as `asWritten` for nearly every record, at less cost: the text begins as it has to. What it does not recognise, that has to judge: an escape,
 * a trace in the text, a time finer than the text can say.
 */
const asEncoded = sql.raw(`((${rest.map(next => `starts_with(e.text, e.beginning || '${next}')`).join(' or ')})
  and strpos(e.values, '"') = 0 and strpos(e.values, E'\\\\') = 0 and date_trunc('milliseconds', e.ts) = e.ts)`)

/** The first number that is none of the chain's: beyond its head, or among those that retention took. */
export async function outsideChain (db: Db, chain: string, pruned: number, head: number): Promise<number | undefined> {
  const { rows } = await sql<{ seq: number }>`select seq::float8 as seq from ledger.event where chain_id = ${chain} and (seq > ${head} or seq <= ${pruned}) order by seq limit 1`.execute(db)
  return rows[0]?.seq
}

/** Runs `work` on one unchanging view of the database, however long it takes. */
export async function withSnapshot<Result> (db: Db, work: (snapshot: Transaction<Schema>) => Promise<Result>): Promise<Result> {
  return await db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work)
}
