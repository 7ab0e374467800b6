import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** What attempts can be counted by, and the SQL for it. */
const groups = {
  tool: sql`concat(a.upstream, '/', a.tool)`,
  user: sql`coalesce(a.principal, '(nobody)')`,
  upstream: sql`coalesce(a.upstream, '(none)')`,
  outcome: sql`coalesce(a.outcome, '(none)')`,
  code: sql`coalesce(a.code, '(none)')`,
  day: sql`to_char(a.time at time zone 'UTC', 'YYYY-MM-DD')`,
} as const

export type Group = keyof typeof groups

export const groupNames = Object.keys(groups) as readonly Group[]

export interface Stat {
  readonly name: string
  readonly attempts: number
  readonly refused: number
  /** Calls that were forwarded and did not end well. */
  readonly failed: number
  readonly users: number
  /** Milliseconds; null where nothing was forwarded. */
  readonly p50: number | null
  readonly p95: number | null
  /** Bytes that came in and went out. */
  readonly bytes: number
}

/** Calls and refusals between these times, counted by something; the most attempted first. */
export async function countAttempts (db: Kysely<Schema>, by: Group, since: Date, until: Date, limit: number): Promise<Stat[]> {
  const { rows } = await sql<Stat>`
    select ${groups[by]} as name, count(*)::float8 as attempts,
      count(*) filter (where a.outcome = 'refused')::float8 as refused,
      count(*) filter (where a.kind = 'call' and a.outcome not in ('ok', 'refused', 'in_flight'))::float8 as failed,
      count(distinct a.principal_id)::float8 as users,
      percentile_cont(0.5) within group (order by a.duration_ms) filter (where a.kind = 'call') as p50,
      percentile_cont(0.95) within group (order by a.duration_ms) filter (where a.kind = 'call') as p95,
      coalesce(sum(a.bytes_in), 0)::float8 + coalesce(sum(a.bytes_out), 0)::float8 as bytes
    from ledger.attempt a
    where a.kind in ('call', 'refusal') and a.time >= ${since} and a.time < ${until}
    group by 1 order by 2 desc, 1 limit ${limit}`.execute(db)
  return rows
}
