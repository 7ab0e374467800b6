import { sql, type Kysely } from 'kysely'

/** Users, their roles and credentials, the signing keys, and what has been revoked. */
export async function up (db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  `create table users (
    id uuid primary key default gen_random_uuid(),
    username text not null,
    username_norm text not null unique,
    kind text not null default 'human' check (kind in ('human', 'service')),
    password_hash text,
    disabled boolean not null default false,
    token_version integer not null default 1,
    password_changed_at timestamptz,
    created_at timestamptz not null default now()
  )`,
  `create table user_roles (
    user_id uuid not null references users on delete cascade,
    role text not null,
    source text not null default 'local',
    primary key (user_id, role, source)
  )`,
  `create table personal_access_tokens (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users on delete cascade,
    name text not null,
    prefix text not null,
    secret_sha256 bytea not null unique,
    scopes text[],
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    last_used_at timestamptz,
    revoked_at timestamptz
  )`,
  'create index on personal_access_tokens (user_id)',
  `create table oauth_artifacts (
    kind text not null,
    id text not null,
    payload jsonb not null,
    grant_id text,
    user_code text,
    uid text,
    client_id text,
    account_id text,
    consumed_at timestamptz,
    expires_at timestamptz not null,
    primary key (kind, id)
  )`,
  'create index on oauth_artifacts (grant_id) where grant_id is not null',
  'create index on oauth_artifacts (account_id) where account_id is not null',
  'create unique index on oauth_artifacts (user_code) where user_code is not null',
  'create unique index on oauth_artifacts (uid) where uid is not null',
  'create index on oauth_artifacts (expires_at)',
  `create table token_revocations (
    id text primary key,
    user_id uuid not null references users on delete cascade,
    expires_at timestamptz not null
  )`,
  'create index on token_revocations (user_id)',
  `create table signing_keys (
    kid text primary key,
    alg text not null,
    private_key bytea not null,
    state text not null check (state in ('next', 'active', 'retired')),
    not_before timestamptz not null,
    retire_at timestamptz
  )`,
  `create table login_attempts (
    key_hmac bytea primary key,
    failed integer not null,
    locked_until timestamptz,
    last_at timestamptz not null
  )`,
]
