import { sql, type Kysely } from 'kysely'

/** The keys under which payloads in the ledger are sealed: one a user, until it is destroyed. */
export async function up (db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  // No reference to users: records outlive those they are about.
  `create table payload_keys (
    key_id uuid primary key,
    user_id text not null,
    wrapped bytea,
    created_at timestamptz not null default now(),
    destroyed_at timestamptz,
    check ((wrapped is null) = (destroyed_at is not null))
  )`,
  'create unique index payload_keys_living on payload_keys (user_id) where wrapped is not null',
]
