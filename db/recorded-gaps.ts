import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** Calls that went on without a record of their own, as the record of the gap says it. */
export interface RecordedGap {
  readonly record: string
  /** At most so many; undefined, as the times: what was counted could not be read. */
  readonly calls?: number
  readonly since?: string
  readonly until?: string
}

/** Every gap on the record, oldest first. */
export async function recordedGaps (db: Kysely<Schema>): Promise<RecordedGap[]> {
  const { rows } = await sql<{ gap: RecordedGap }>`
    select json_strip_nulls(json_build_object('record', record, 'calls', (body->'detail'->>'calls')::float8, 'since', body->'detail'->>'since', 'until', body->'detail'->>'until')) as gap
    from ledger.event where kind = 'gateway' and outcome = 'unknown' and body->'detail'->>'event' = 'gap' order by ts, seq`.execute(db)
  return rows.map(({ gap }) => gap)
}
