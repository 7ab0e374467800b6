import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** What a start recorded of the configuration. */
export interface ConfigEvent {
  readonly policy: string | null
  readonly detail: unknown
}

/** Chains that are looked at: commands have chains of their own. */
const CHAINS = 500
/** Records at the beginning of a chain among which that of the configuration is. */
const BEGINNING = 1_000

/**
 * What the newest start recorded, undefined when none is found. The record stands at the beginning of a chain, so it is
 * found at once however many records there are.
 */
export async function lastConfig (db: Kysely<Schema>): Promise<ConfigEvent | undefined> {
  const { rows } = await sql<ConfigEvent>`
    select e.body ->> 'policy' as policy, e.body -> 'detail' as detail
    from (select chain_id, opened_at, pruned_seq from ledger.chain order by opened_at desc limit ${CHAINS}) c
    join lateral (
      select x.ts, x.seq, x.body from ledger.event x
      where x.chain_id = c.chain_id and x.seq > c.pruned_seq and x.seq <= c.pruned_seq + ${BEGINNING} and x.kind = 'config'
      order by x.seq desc limit 1
    ) e on true
    order by e.ts desc, c.opened_at desc limit 1`.execute(db)
  return rows[0]
}
