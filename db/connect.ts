import { setTimeout as sleep } from 'node:timers/promises'

import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'

import { openEmbedded } from './embedded.ts'
import { migrate } from './migrate.ts'
import type { Schema } from './schema.ts'

/** What this layer needs of a logger; a pino logger is one. */
export interface Log {
  info (facts: object, message: string): void
  warn (facts: object, message: string): void
  error (facts: object, message: string): void
}

export interface Database {
  readonly db: Kysely<Schema>
  readonly pool: pg.Pool
  /** For another process or connection to reach the same database. Holds the password, if there is one. */
  readonly url: string
  /** The embedded server, whose processes are ours. */
  readonly embedded: boolean
  /** Ends the connections; stops the embedded server when nobody else uses it. Idempotent. */
  close (): Promise<void>
}

export interface DatabaseOptions {
  /** A Postgres of one's own; undefined: the embedded one. */
  readonly url: string | undefined
  /** Data directory, absolute: where the embedded one lives. */
  readonly data: string
  readonly log?: Log | undefined
  /** False leaves the schema as it is. Default true. */
  readonly migrate?: boolean
  /** False only for tests: the embedded server skips fsync. */
  readonly durable?: boolean
}

/** Connects, waiting a little for a server that is still starting, and brings the schema up to date. Throws an Error that says what to do. */
export async function openDatabase (options: DatabaseOptions): Promise<Database> {
  const { log } = options
  const embedded = options.url === undefined ? await openEmbedded(options) : undefined
  const url = options.url ?? embedded?.url ?? ''
  const pool = openPool(url, log, CONNECTIONS)
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= endPool(db, pool).then(() => embedded?.close())
    return closing
  }
  try {
    await reach(pool, url, log)
    if (options.migrate !== false) await migrate(url, log)
  } catch (error) {
    await close()
    throw error
  }
  return { db, pool, url, embedded: embedded !== undefined, close }
}

/** Connections of one's own to a database that is known to be there; nothing is tried before the first query. */
export function connectLazily (url: string, log: Log | undefined, connections: number): Pick<Database, 'db' | 'pool' | 'close'> {
  const pool = openPool(url, log, connections)
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
  return { db, pool, close: async () => await endPool(db, pool) }
}

/** The same for work that takes as long as it takes: statements have no limit. */
export function connectPatiently (url: string, log: Log | undefined): Omit<Database, 'embedded'> {
  const pool = openPool(url, log, 2, {})
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
  return { db, pool, url, close: async () => await endPool(db, pool) }
}

/** How long a server may take to accept connections before we give up. */
const REACH_MS = 10_000

/** kysely ends the pool only if it has run a query of its own. */
async function endPool (db: Kysely<Schema>, pool: pg.Pool): Promise<void> {
  await db.destroy()
  if (!pool.ended && !pool.ending) await pool.end()
}

const CONNECTIONS = 10

/** How long, in milliseconds, one statement may take. */
const usual = {
  statement_timeout: 30_000,
  // The client's own limit, for a server that does not answer at all.
  query_timeout: 40_000,
  idle_in_transaction_session_timeout: 30_000,
}

function openPool (url: string, log: Log | undefined, max: number, limits: Partial<typeof usual> = usual): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: 'portcullis',
    max,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    ...limits,
  })
  // An idle connection that breaks is reported here; without a listener it would end the process.
  pool.on('error', (err: Error) => { if (!pool.ending) log?.warn({ err }, 'a database connection was lost') })
  // The same for one that breaks while it is checked out; the query that waits on it fails by itself.
  pool.on('connect', client => { client.on('error', () => {}) })
  return pool
}

async function reach (pool: pg.Pool, url: string, log: Log | undefined): Promise<void> {
  const deadline = Date.now() + REACH_MS
  for (let tries = 0; ; tries++) {
    try {
      await checkVersion(pool)
      return
    } catch (error) {
      if (!isPassing(error) || Date.now() > deadline) throw explain(error, url)
      if (tries === 0) log?.warn({ database: placeOf(url), reason: reasonOf(error) }, 'the database does not accept connections yet; waiting')
      await sleep(250)
    }
  }
}

const OLDEST = 15

async function checkVersion (pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ version: string }>("select current_setting('server_version_num') as version")
  const major = Math.floor(Number(rows[0]?.version) / 10_000)
  if (major < OLDEST) throw new Error(`Postgres ${major} is too old: ${OLDEST} or later is needed`)
}

/** Refused, not there yet, starting up, shutting down. A wrong password or host name does not pass by waiting. */
const PASSING = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EAI_AGAIN', '57P03', '57P01'])

function isPassing (error: unknown): boolean {
  return error instanceof Error && 'code' in error && PASSING.has(String(error.code))
}

function explain (cause: unknown, url: string): Error {
  return new Error(`The database at ${placeOf(url)} cannot be used: ${reasonOf(cause)}. Check DATABASE_URL and that Postgres runs there.`, { cause })
}

/** What the system's codes mean for whoever set the address. */
const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing accepts connections there',
  ENOENT: 'there is no socket',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network of the host cannot be reached',
  ETIMEDOUT: 'the host does not answer',
}

function reasonOf (cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const code = 'code' in cause ? String(cause.code) : ''
  const known = reasons[code]
  return known === undefined ? cause.message || code || cause.name : `${known} (${code})`
}

/** Host, port and database name: never the user part. */
function placeOf (url: string): string {
  try {
    const { hostname, port, pathname, searchParams } = new URL(url)
    return `${searchParams.get('host') ?? `${hostname}:${port === '' ? 5432 : port}`}${pathname}`
  } catch {
    return 'DATABASE_URL (not a valid postgres:// URL)'
  }
}
