import { Kysely, Migrator, PostgresDialect } from 'kysely'
import type { Migration } from 'kysely'
import pg from 'pg'

import type { Log } from './connect.ts'
import type { Schema } from './schema.ts'
import * as ledger from './migrations/0001_ledger.ts'
import * as identity from './migrations/0002_identity.ts'
import * as oauthClients from './migrations/0003_oauth_clients.ts'
import * as ledgerChain from './migrations/0004_ledger_chain.ts'
import * as payloadKeys from './migrations/0005_payload_keys.ts'
import * as ledgerSinks from './migrations/0006_ledger_sinks.ts'
import * as endedSessions from './migrations/0007_ended_sessions.ts'
import * as userIdentities from './migrations/0008_user_identities.ts'
import * as ledgerKeeping from './migrations/0009_ledger_keeping.ts'
import * as ledgerConnections from './migrations/0010_ledger_connections.ts'
import * as ledgerSearch from './migrations/0011_ledger_search.ts'
import * as ledgerIngest from './migrations/0012_ledger_ingest.ts'

/** Every migration there is, in order. Forward only: a mistake is mended by the next one. */
const migrations: Readonly<Record<string, Migration>> = {
  '0001_ledger': ledger,
  '0002_identity': identity,
  '0003_oauth_clients': oauthClients,
  '0004_ledger_chain': ledgerChain,
  '0005_payload_keys': payloadKeys,
  '0006_ledger_sinks': ledgerSinks,
  '0007_ended_sessions': endedSessions,
  '0008_user_identities': userIdentities,
  '0009_ledger_keeping': ledgerKeeping,
  '0010_ledger_connections': ledgerConnections,
  '0011_ledger_search': ledgerSearch,
  '0012_ledger_ingest': ledgerIngest,
}

/**
 * Brings the schema up to date, under Kysely's lock, all in one transaction. Any number of processes may call it at
 * once. The lock belongs to a session: `url` must not lead through a pooler in transaction mode.
 */
export async function migrate (url: string, log?: Log): Promise<void> {
  // A pool of its own: a migration may take longer than any statement of the gateway is allowed to.
  const pool = new pg.Pool({ connectionString: url, application_name: 'portcullis-migrate', max: 1, connectionTimeoutMillis: 5_000 })
  pool.on('error', () => {})
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
  try {
    const { error, results = [] } = await migratorOf(db).migrateToLatest()
    if (error !== undefined) throw new Error(`The database could not be brought up to date: ${messageOf(error)}${isForbidden(error) ? '. This role may not change the schema: run `portcullis db migrate` with the DATABASE_URL of its owner first' : ''}`, { cause: error })
    for (const { migrationName } of results) log?.info({ migration: migrationName }, 'database migrated')
  } finally {
    await db.destroy()
  }
}

/** Names of the migrations that the database has not had. */
export async function pendingMigrations (db: Kysely<Schema>): Promise<string[]> {
  return (await migratorOf(db).getMigrations()).filter(({ executedAt }) => executedAt === undefined).map(({ name }) => name)
}

function migratorOf<Tables> (db: Kysely<Tables>): Migrator {
  return new Migrator({ db, provider: { getMigrations: () => Promise.resolve({ ...migrations }) } })
}

/** SQLSTATE 42501 */
function isForbidden (error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '42501'
}

function messageOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
