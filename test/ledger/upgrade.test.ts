import { Kysely, Migrator, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import t from 'tap'

import { openDatabase } from '../../db/connect.ts'
import * as ledger from '../../db/migrations/0001_ledger.ts'
import * as identity from '../../db/migrations/0002_identity.ts'
import * as oauthClients from '../../db/migrations/0003_oauth_clients.ts'
import { encode } from '../../src/ledger/entry.ts'
import { verifyLedger } from '../../src/ledger/verify/verify.ts'
import { intent, outcome } from '../support/ledger.ts'
import { testServer } from '../support/postgres.ts'

const old = '10000000-0000-4000-8000-000000000001'
const during = '10000000-0000-4000-8000-000000000002'

t.test('records from before there were hashes are chained by the migration, and a replica of the version before goes on writing', async t => {
  const server = await testServer()
  const name = `test_${process.pid}_upgrade`
  const admin = new pg.Client({ connectionString: server.url })
  await admin.connect()
  await admin.query(`create database ${name}`)
  t.teardown(async () => {
    await admin.query(`drop database ${name} with (force)`)
    await admin.end()
  })
  const url = new URL(server.url)
  url.pathname = `/${name}`
  const pool = new pg.Pool({ connectionString: url.href, max: 1 })
  pool.on('error', () => {}) // its last connection may end with the database
  const replica = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) })
  t.teardown(async () => await replica.destroy())
  const migrations = { '0001_ledger': ledger, '0002_identity': identity, '0003_oauth_clients': oauthClients }
  const { error } = await new Migrator({ db: replica, provider: { getMigrations: () => Promise.resolve(migrations) } }).migrateToLatest()
  t.equal(error, undefined)

  /** As the version before does it. */
  const write = async (chain: string, first: number, record: string): Promise<void> => {
    await sql`select ledger.open_chain(${chain}, 'old', ${new Date('2026-01-01T00:00:00Z')})`.execute(replica)
    const lines = [intent(record), outcome(record)].map(entry => encode(entry, new Date().toISOString())).join('\n')
    const { rows } = await sql<{ head: string }>`select ledger.ingest(${chain}, ${first}, ${lines}) as head`.execute(replica)
    t.equal(Number(rows[0]?.head), first + 1)
  }
  await write(old, 1, 'a')
  await write(old, 3, 'b')
  const database = await openDatabase({ url: url.href, data: '' })
  t.teardown(async () => await database.close())
  await write(old, 5, 'c')
  await write(during, 1, 'd')

  const { records, unsigned, findings } = await verifyLedger({ database, keys: new Map(), sources: [] })
  t.strictSame({ records, unsigned, findings }, { records: 8, unsigned: 8, findings: [] })
  await t.rejects(database.pool.query("update ledger.event set principal = 'mallory'"), { code: '42501' }, 'what is there cannot be changed afterwards')
})
