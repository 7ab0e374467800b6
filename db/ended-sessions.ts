import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** Where every gateway of this database hears of a session that was ended. */
export const ENDED_SESSIONS_CHANNEL = 'portcullis_ended_sessions'

/** Notes that a session was ended, and tells every gateway; `expires` is when its id would not be honoured anyway. */
export async function noteEndedSession (db: Kysely<Schema>, seal: string, expires: Date): Promise<void> {
  await sql`with noted as (insert into ended_sessions (seal, expires_at) values (${seal}, ${expires}) on conflict do nothing)
    select pg_notify(${ENDED_SESSIONS_CHANNEL}, ${seal})`.execute(db)
}

/** The seals of all sessions that were ended, those of the distant past forgotten. */
export async function endedSessions (db: Kysely<Schema>, now: Date): Promise<string[]> {
  await db.deleteFrom('ended_sessions').where('expires_at', '<', now).execute()
  const rows = await db.selectFrom('ended_sessions').select('seal').execute()
  return rows.map(({ seal }) => seal)
}
