import { sql, type Kysely } from 'kysely'

/** Which user somebody is whom another issuer vouches for. The subject is unique within its issuer, and nothing else counts. */
export async function up (db: Kysely<unknown>): Promise<void> {
  await sql.raw(`create table user_identities (
    issuer text not null,
    subject text not null,
    user_id uuid not null references users on delete cascade,
    created_at timestamptz not null default now(),
    primary key (issuer, subject)
  )`).execute(db)
  await sql.raw('create index on user_identities (user_id)').execute(db)
}
