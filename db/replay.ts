import { sql, type Kysely } from 'kysely'

import type { Position } from './events.ts'
import type { Schema } from './schema.ts'

/** A call on which policy had a say. */
export interface JudgedCall {
  readonly record: string
  readonly principal_id: string
  readonly principal: string | null
  readonly method: string | null
  readonly upstream: string
  readonly tool: string
  readonly allowed: boolean
  readonly rule: string | null
  /** JSON text; null when it was not kept. */
  readonly args: string | null
}

const PAGE = 2_000

/** Calls that policy allowed, and those it refused, since then; oldest first, page by page. */
export async function * judgedCalls (db: Kysely<Schema>, since: Date): AsyncGenerator<JudgedCall[], void, undefined> {
  let after: Position = { time: since, chain_id: '00000000-0000-0000-0000-000000000000', seq: 0 }
  for (;;) {
    const { rows } = await sql<JudgedCall & Position>`
      select e.record, e.principal_id, e.principal, e.method, e.upstream, e.tool, e.kind = 'call' as allowed, e.rule, e.body ->> 'args' as args,
        e.ts as time, e.chain_id, e.seq::float8 as seq
      from ledger.event e
      where e.ts >= ${after.time} and (e.ts, e.chain_id, e.seq) > (${after.time}::timestamptz, ${after.chain_id}::uuid, ${after.seq}::bigint)
        and (e.kind = 'call' or (e.kind = 'refusal' and e.code = 'PORTCULLIS_UNKNOWN_TARGET' and e.rule is distinct from 'not listed'))
        and e.method in ('tools/call', 'prompts/get', 'resources/read') and e.principal_id is not null and e.upstream is not null and e.tool is not null
      order by e.ts, e.chain_id, e.seq limit ${PAGE}`.execute(db)
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows
    if (rows.length < PAGE) return
    after = last
  }
}
