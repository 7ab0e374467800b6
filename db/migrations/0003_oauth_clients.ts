import { sql, type Kysely } from 'kysely'

/** Who may ask people for access: programs that registered themselves, and those that an administrator added. */
export async function up (db: Kysely<unknown>): Promise<void> {
  await sql.raw(`create table oauth_clients (
    client_id text primary key,
    metadata jsonb not null,
    source text not null check (source in ('registered', 'admin')),
    user_id uuid references users on delete cascade,
    created_at timestamptz not null default now(),
    last_used_at timestamptz
  )`).execute(db)
  await sql.raw('create index on oauth_clients (created_at) where last_used_at is null').execute(db)
}
