import { sql, type Kysely } from 'kysely'

import { conditionsOf } from './attempt-filter.ts'
import type { AttemptFilter } from './attempt-filter.ts'
import type { Schema } from './schema.ts'

type Db = Kysely<Schema>

/** One attempt: a call with what came of it, or anything else that was recorded. */
export interface Attempt {
  readonly time: Date
  readonly record: string
  readonly kind: string
  readonly principal_id: string | null
  readonly principal: string | null
  readonly token: string | null
  readonly client: string | null
  readonly session: string | null
  readonly trace: string | null
  readonly source: string | null
  readonly era: string | null
  readonly method: string | null
  readonly upstream: string | null
  readonly tool: string | null
  readonly arguments: unknown
  readonly digest: string | null
  readonly decision: string | null
  readonly rule: string | null
  /** `in_flight`: not known yet; `unknown`: never will be. */
  readonly outcome: string | null
  readonly code: string | null
  readonly duration_ms: number | null
  readonly bytes_in: number | null
  readonly bytes_out: number | null
  readonly policy: string | null
  readonly detail: unknown
  readonly chain_id: string
  readonly seq: number
}

/** What identifies an attempt in the order of time. */
export type Position = Pick<Attempt, 'time' | 'chain_id' | 'seq'>

const columns = sql`a.time, a.record, a.kind, a.principal_id, a.principal, a.token, a.client, a.session, a.trace, a.source, a.era, a.method,
  a.upstream, a.tool, a.arguments, a.digest, a.decision, a.rule, a.outcome, a.code, a.duration_ms, a.bytes_in::float8, a.bytes_out::float8,
  a.policy, a.detail, a.chain_id, a.seq::float8`

/** At most `limit` attempts, newest first. */
export async function findAttempts (db: Db, filter: AttemptFilter, limit: number): Promise<Attempt[]> {
  const { rows } = await sql<Attempt>`
    select ${columns} from ledger.attempt a where ${sql.join(conditionsOf(filter), sql` and `)}
    order by a.time desc, a.chain_id desc, a.seq desc limit ${limit}`.execute(db)
  return rows
}

/** Time of the oldest event there is, undefined in an empty ledger. */
export async function oldestEvent (db: Db): Promise<Date | undefined> {
  const { rows } = await sql<{ oldest: Date | null }>`select min(c.opened_at) as oldest from ledger.chain c`.execute(db)
  return rows[0]?.oldest ?? undefined
}

/** One event as it was written: the JSON text itself, byte for byte. */
export interface StoredEvent {
  readonly chain_id: string
  readonly seq: number
  readonly time: Date
  readonly kind: string
  readonly body: string
}

/** Everything that was written under a record id, oldest first. */
export async function eventsOf (db: Db, record: string): Promise<StoredEvent[]> {
  const { rows } = await sql<StoredEvent>`
    select e.chain_id, e.seq::float8, e.ts as time, e.kind, e.body::text as body from ledger.event e where e.record = ${record} order by e.ts, e.seq`.execute(db)
  return rows
}

/** The attempts a record id stands for: one, unless an id was used twice. */
export async function attemptsOf (db: Db, record: string): Promise<Attempt[]> {
  const { rows } = await sql<Attempt>`select ${columns} from ledger.attempt a where a.record = ${record} order by a.time`.execute(db)
  return rows
}

/** Head of each chain that may still grow, or was closed within the hour. */
export async function liveHeads (db: Db): Promise<Map<string, number>> {
  const { rows } = await sql<{ chain_id: string, head: number }>`
    select c.chain_id, c.last_seq::float8 as head from ledger.chain c where c.closed_at is null or c.closed_at > now() - interval '1 hour'`.execute(db)
  return new Map(rows.map(({ chain_id: chain, head }) => [chain, head]))
}

/**
 * Attempts that were concluded by the events after number `after`, up to `head`, in the order of these events. A connection is among them twice: when
 * it is made, since it may stay open for days, and when it has ended.
 */
export async function concludedBetween (db: Db, chain: string, after: number, head: number): Promise<Attempt[]> {
  const { rows } = await sql<Attempt>`
    select ${columns} from ledger.event e
    join lateral (
      select * from ledger.attempt x where x.record = e.record and x.kind in ('call', 'egress') and e.kind in ('outcome', 'recovered')
      union all
      select * from ledger.attempt x where x.record = e.record and x.chain_id = e.chain_id and x.seq = e.seq and e.kind not in ('call', 'outcome', 'recovered')
    ) a on true
    where e.chain_id = ${chain} and e.seq > ${after} and e.seq <= ${head}
    order by e.seq`.execute(db)
  return rows
}

/** A call that a rate limit counted, whatever became of it. */
export interface CallEvent {
  readonly principal_id: string
  readonly upstream: string
  readonly tool: string
  readonly source: string | null
  readonly method: string | null
  readonly time: Date
  /** Why it was refused, if it was. */
  readonly code: string | null
}

const PAGE = 5_000

/** Which calls a rate limit counted. */
export interface Counted {
  readonly methods: readonly string[]
  /** Codes of refusals that used nothing up. */
  readonly except: readonly string[]
}

/** Every counted call that named a target since then, oldest first, page by page. One without a method, as old records may be, is among them. */
export async function * callsSince (db: Db, since: Date, { methods, except }: Counted): AsyncGenerator<CallEvent[], void, undefined> {
  let after: Position = { time: since, chain_id: '00000000-0000-0000-0000-000000000000', seq: 0 }
  for (;;) {
    const { rows } = await sql<CallEvent & Position>`
      select e.principal_id, e.upstream, e.tool, e.source, e.method, e.ts as time, e.code, e.chain_id, e.seq::float8 as seq
      from ledger.event e
      where e.ts >= ${after.time} and (e.ts, e.chain_id, e.seq) > (${after.time}::timestamptz, ${after.chain_id}::uuid, ${after.seq}::bigint)
        and e.kind in ('call', 'refusal') and e.principal_id is not null and e.upstream is not null and e.tool is not null
        and (e.method is null or e.method = any(${methods}::text[])) and (e.code is null or e.code <> all(${except}::text[]))
      order by e.ts, e.chain_id, e.seq limit ${PAGE}`.execute(db)
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows
    if (rows.length < PAGE) return
    after = last
  }
}
