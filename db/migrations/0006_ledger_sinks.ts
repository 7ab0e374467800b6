import { sql, type Kysely } from 'kysely'

/** How far each sink has been brought, and which gateway is at it. */
export async function up (db: Kysely<unknown>): Promise<void> {
  await sql.raw(`create table ledger_sinks (
    name text primary key,
    position json not null default '{}',
    owner uuid not null,
    leased_until timestamptz not null,
    caught_up_at timestamptz not null default now()
  )`).execute(db)
}
