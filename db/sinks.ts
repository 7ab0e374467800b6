import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

type Db = Kysely<Schema>

export interface SinkRow {
  /** Whether this owner is to bring records to it. */
  readonly mine: boolean
  /** Chain → number of the last record it has. */
  readonly position: Readonly<Record<string, number>>
  /** Everything from before then is there. */
  readonly caughtUpAt: Date
}

/** How long an owner that is silent keeps a sink, in seconds. */
const LEASE = 30

/** Takes the sink, or keeps it; of several gateways one has it. */
export async function leaseSink (db: Db, name: string, owner: string): Promise<SinkRow> {
  await sql`
    insert into ledger_sinks as s (name, owner, leased_until) values (${name}, ${owner}, now() + make_interval(secs => ${LEASE}))
    on conflict (name) do update set owner = excluded.owner, leased_until = excluded.leased_until
      where s.owner = excluded.owner or s.leased_until < now()`.execute(db)
  return await db.selectFrom('ledger_sinks').where('name', '=', name)
    .select(['position', 'caught_up_at as caughtUpAt', eb => eb('owner', '=', owner).as('mine')])
    .executeTakeFirstOrThrow() as SinkRow
}

/** Notes how far the sink was brought. False: it belongs to somebody else by now. */
export async function advanceSink (db: Db, name: string, owner: string, position: Readonly<Record<string, number>>): Promise<boolean> {
  const { numUpdatedRows } = await db.updateTable('ledger_sinks')
    .set({ position: JSON.stringify(position), leased_until: sql<Date>`now() + make_interval(secs => ${LEASE})` })
    .where('name', '=', name).where('owner', '=', owner).executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Everything from before that time has arrived. */
export async function sinkCaughtUp (db: Db, name: string, owner: string, time: Date): Promise<void> {
  await db.updateTable('ledger_sinks').set({ caught_up_at: time }).where('name', '=', name).where('owner', '=', owner).execute()
}

/** Lets the next gateway take it at once. */
export async function releaseSink (db: Db, name: string, owner: string): Promise<void> {
  await db.updateTable('ledger_sinks').set({ leased_until: new Date(0) }).where('name', '=', name).where('owner', '=', owner).execute()
}
