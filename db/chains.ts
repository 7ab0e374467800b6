import { sql, type Kysely } from 'kysely'
import type pg from 'pg'

import type { Schema } from './schema.ts'

/** Registers a chain if it is new; number and hash of its last record in the database, 0 and `genesis` when there is none. */
export async function openChain (db: Kysely<Schema>, chain: { readonly id: string, readonly node: string, readonly openedAt: Date }, genesis: Buffer): Promise<{ seq: number, hash: Buffer }> {
  const { rows } = await sql<{ head: string, hash: Buffer | null }>`select head, hash from ledger.open_chain(${chain.id}, ${chain.node}, ${chain.openedAt}, ${genesis})`.execute(db)
  return { seq: headOf(rows[0]), hash: rows[0]?.hash ?? genesis }
}

/** How long the server may work on one batch before the connection is given up. */
const INGEST_MS = 15_000

/**
 * Appends lines (newline-separated) from number `first` on, all or none, and returns the head of the chain. A head
 * that is not the last of these lines says that nothing was appended, because the chain stands somewhere else.
 * `lines` goes over the wire as it is: no conversion, one parameter. `hashes` are those of the record before, and of
 * each line.
 */
export async function ingest (pool: pg.Pool, chain: string, first: number, lines: Buffer, hashes: Buffer): Promise<number> {
  const { rows } = await pool.query<{ head: string }>({ name: 'ledger-ingest', text: 'select ledger.ingest($1, $2, $3, $4) as head', values: [chain, first, lines, hashes], query_timeout: INGEST_MS } as pg.QueryConfig)
  return headOf(rows[0])
}

/** Writes down that the records before `first` cannot be delivered any more, and what the last of them hashed to; returns the new head. */
export async function noteGap (db: Kysely<Schema>, chain: string, first: number, hash: Buffer): Promise<number> {
  const { rows } = await sql<{ head: string }>`select ledger.note_gap(${chain}, ${first}, ${hash}) as head`.execute(db)
  return headOf(rows[0])
}

/** Whether anything of this chain ever reached the database. */
export async function isKnownChain (db: Kysely<Schema>, chain: string): Promise<boolean> {
  const { rows } = await sql`select from ledger.chain where chain_id = ${chain}`.execute(db)
  return rows.length > 0
}

/** Nothing more will come. */
export async function closeChain (db: Kysely<Schema>, chain: string): Promise<void> {
  await sql`select ledger.close_chain(${chain})`.execute(db)
}

/** Makes the partitions of this month and the next two, if they are missing. */
export async function makePartitionsAhead (db: Kysely<Schema>): Promise<void> {
  await sql`select ledger.ensure_month(now() + make_interval(months => ahead)) from generate_series(0, 2) as ahead`.execute(db)
}

/** Records of intents of the chain's last day that have no outcome: no call takes longer than that. */
export async function danglingIntents (db: Kysely<Schema>, chain: string): Promise<string[]> {
  const { rows } = await sql<{ record: string }>`
    select e.record from ledger.event e
    where e.chain_id = ${chain} and (e.kind = 'call' or (e.kind = 'egress' and e.outcome is null))
      and e.ts >= (select c.last_ts - interval '1 day' from ledger.chain c where c.chain_id = ${chain})
      and not exists (select from ledger.event o where o.record = e.record and o.kind in ('outcome', 'recovered') and o.ts >= e.ts)
    order by e.seq`.execute(db)
  return rows.map(({ record }) => record)
}

/** The server took the connection but not the data: sending the same again fails again. SQLSTATE classes 22 and 23. */
export function isDataError (error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^2[23]...$/.test(String(error.code))
}

function headOf (row: { readonly head: string } | undefined): number {
  return Number(row?.head)
}
