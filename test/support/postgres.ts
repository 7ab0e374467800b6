import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { constants, mkdirSync, openSync, closeSync, readFileSync, readdirSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import pg from 'pg'

import { openDatabase } from '../../db/connect.ts'
import type { Database, Log } from '../../db/connect.ts'
import { openEmbedded } from '../../db/embedded.ts'
import { migrate } from '../../db/migrate.ts'

interface Test { teardown (work: () => unknown): unknown }

export interface TestDatabaseOptions {
  readonly log?: Log
}

/**
 * A fresh, migrated database of one's own, dropped with the test. On TEST_DATABASE_URL when that is set, else on an
 * embedded Postgres that all test files share and that stops by itself. `url` is for a child process's DATABASE_URL.
 */
export async function testDatabase (t: Test, options: TestDatabaseOptions = {}): Promise<Database> {
  const server = await testServer()
  const name = `test_${process.pid}_${Math.random().toString(36).slice(2, 10)}`
  await withAdmin(server.url, async admin => {
    await dropAbandoned(admin)
    const template = await ensureTemplate(admin, server.url)
    await admin.query(`create database ${name} template ${template}`)
  })
  const database = await openDatabase({ url: named(server.url, name), data: '', migrate: false, ...options })
  t.teardown(async () => {
    await database.close()
    await withAdmin(server.url, admin => admin.query(`drop database if exists ${name} with (force)`))
    await server.close()
  })
  return database
}

interface TestServer { readonly url: string, close (): Promise<void> }

/** TEST_DATABASE_URL, or the shared embedded server. */
export async function testServer (): Promise<TestServer> {
  const url = process.env['TEST_DATABASE_URL']
  if (url !== undefined && url !== '') return { url, close: () => Promise.resolve() }
  const data = join(tmpdir(), `portcullis-test-${userInfo().uid}`)
  mkdirSync(data, { recursive: true, mode: 0o711 })
  const embedded = await openEmbedded({ data, durable: false })
  linger(embedded.lease)
  // Not closed: that would wait for the end of a server which the next test file wants to find running.
  return { url: embedded.url, close: () => Promise.resolve() }
}

/** Seconds the shared server outlives its last user, so that the next test file finds it running. */
const LINGER = '15'

/** A sleeping child holds the lease open. */
function linger (lease: string): void {
  const descriptor = openSync(lease, constants.O_WRONLY | constants.O_NONBLOCK)
  spawn('sleep', [LINGER], { detached: true, cwd: '/', stdio: ['ignore', descriptor, 'ignore'] }).unref()
  closeSync(descriptor)
}

async function withAdmin (url: string, work: (admin: pg.Client) => Promise<unknown>): Promise<void> {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  try {
    await work(admin)
  } finally {
    await admin.end()
  }
}

/** One migrated database for each state of the migrations; test databases are copies of it. */
async function ensureTemplate (admin: pg.Client, url: string): Promise<string> {
  const template = `template_${digestOfMigrations()}`
  await admin.query("select pg_advisory_lock(hashtext('portcullis test template'))")
  const { rowCount } = await admin.query('select from pg_database where datname = $1', [template])
  if (rowCount === 0) {
    const unfinished = `${template}_unfinished`
    await admin.query(`drop database if exists ${unfinished} with (force)`)
    await admin.query(`create database ${unfinished}`)
    await migrate(named(url, unfinished))
    await admin.query(`alter database ${unfinished} rename to ${template}`)
  }
  await admin.query("select pg_advisory_unlock(hashtext('portcullis test template'))")
  return template
}

function digestOfMigrations (): string {
  const db = fileURLToPath(new URL('../../db/', import.meta.url))
  const files = ['migrate.ts', ...readdirSync(join(db, 'migrations')).sort().map(file => join('migrations', file))]
  const hash = createHash('sha256')
  for (const file of files) hash.update(readFileSync(join(db, file)))
  return hash.digest('hex').slice(0, 12)
}

/** Databases of test processes that were killed. */
async function dropAbandoned (admin: pg.Client): Promise<void> {
  const { rows } = await admin.query<{ datname: string }>("select datname from pg_database where datname ~ '^test_[0-9]+_'")
  for (const { datname } of rows) {
    if (!isAlive(Number(datname.split('_')[1]))) await admin.query(`drop database if exists ${datname} with (force)`)
  }
}

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function named (url: string, database: string): string {
  const renamed = new URL(url)
  renamed.pathname = `/${database}`
  return renamed.href
}
