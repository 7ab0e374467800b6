import { sql, type Kysely } from 'kysely'

/** Session ids say everything by themselves; that one was ended before its time has to be kept somewhere. */
export async function up (db: Kysely<unknown>): Promise<void> {
  await sql.raw('create table ended_sessions (seal text primary key, expires_at timestamptz not null)').execute(db)
  await sql.raw('create index on ended_sessions (expires_at)').execute(db)
}
