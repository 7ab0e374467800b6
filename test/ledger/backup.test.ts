import { execFile } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

import t from 'tap'
import type { Test } from 'tap'

import { openDatabase } from '../../db/connect.ts'
import type { Database } from '../../db/connect.ts'
import { auditRetain } from '../../src/commands/audit-keeping.ts'
import { auditVerify } from '../../src/commands/audit-verify.ts'
import { loadConfig } from '../../src/config/config.ts'
import { readCheckpointFiles } from '../../src/ledger/checkpoint-file.ts'
import { ledgerSeed } from '../../src/ledger/keys.ts'
import { intent, outcome, temporaryDirectory, testLedger, written } from '../support/ledger.ts'
import { leaveChain } from '../support/old-records.ts'
import { testDatabase } from '../support/postgres.ts'

const run = promisify(execFile)

/** Newest first: PostgreSQL's own folder on Debian, then what is on the path. */
const folders = ['/usr/lib/postgresql', ...(process.env['PATH'] ?? '').split(':')].flatMap(folder => folder === '/usr/lib/postgresql' && existsSync(folder) ? readdirSync(folder).sort((a, b) => Number(b) - Number(a)).map(version => join(folder, version, 'bin')) : [folder])
const tools = folders.find(folder => existsSync(join(folder, 'pg_dump')))
const version = tools === undefined ? 0 : Number(/(\d+)/.exec((await run(join(tools, 'pg_dump'), ['--version'])).stdout)?.[1])
const server = process.env['TEST_DATABASE_URL']
/** The embedded server comes without pg_dump, and that of an older Postgres refuses it. */
const skip = server === undefined || tools === undefined ? 'TEST_DATABASE_URL is not set, or there is no pg_dump' : version < await majorOf(server) && 'pg_dump is older than the server'

async function majorOf (url: string): Promise<number> {
  const database = await openDatabase({ url, data: '', migrate: false })
  const { rows } = await database.pool.query<{ version: string }>("select current_setting('server_version_num') as version")
  await database.close()
  return Math.floor(Number(rows[0]?.version) / 10_000)
}

async function dump (database: Database, file: string): Promise<void> {
  await run(join(tools ?? '', 'pg_dump'), ['--format=custom', `--file=${file}`, database.url])
}

/** Another database with what is in the file, opened as a gateway does. */
async function restored (t: Test, file: string): Promise<Database> {
  const name = `test_${process.pid}_restored${++restores}`
  const admin = await openDatabase({ url: server, data: '', migrate: false })
  await admin.pool.query(`create database ${name} template template0`)
  const url = new URL(admin.url)
  url.pathname = `/${name}`
  await run(join(tools ?? '', 'pg_restore'), ['--exit-on-error', '--no-owner', `--dbname=${url.href}`, file])
  const database = await openDatabase({ url: url.href, data: '' })
  t.teardown(async () => {
    await database.close()
    await admin.pool.query(`drop database ${name} with (force)`)
    await admin.close()
  })
  return database
}

let restores = 0

async function verify (database: Database, data: string, anchor?: string): Promise<{ code: number, flaws: string[], records: number }> {
  let text = ''
  const code = await auditVerify({ database, out: (chunk) => { text += chunk }, config: { data } }, { anchor, json: true })
  const { findings, records } = JSON.parse(text) as { findings: { flaw: string, seq?: number }[], records: number }
  return { code, flaws: findings.map(({ flaw, seq }) => `${flaw} ${seq ?? ''}`.trim()), records }
}

t.test('a backup restores to a ledger that verifies and is written on, append-only as before', { skip }, async t => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  await leaveChain({ database, data }, '30000000-0000-4000-8000-000000000001', [[['2025-01-10T10:00:00.000Z', intent('old')]], [['2025-02-10T10:00:00.000Z', outcome('old')]]])
  const first = testLedger(t, database, data, { seed: ledgerSeed(data) })
  const { audit } = loadConfig({}, { file: join(t.testdir({ 'u.yaml': 'upstreams: { a: { command: x } }' }), 'u.yaml') })
  t.equal(await auditRetain({ database, ledger: first, config: { data, audit }, out: () => {} }, { olderThan: '31d' }, Date.parse('2025-03-05T00:00:00Z')), 0, 'January was taken out')
  first.append(intent('a'))
  first.append(outcome('a'))
  await first.close()
  const file = join(data, 'portcullis.dump')
  await dump(database, file)

  const copy = await restored(t, file)
  t.match(await verify(copy, data), { code: 0, flaws: [], records: 4 })
  await t.rejects(copy.pool.query("update ledger.event set principal = 'mallory'"), { code: '42501' })
  await t.rejects(copy.pool.query('truncate ledger.event_2025_02'), { code: '42501' })
  const second = testLedger(t, copy, data, { seed: ledgerSeed(data) })
  second.append(intent('b'))
  await second.close()
  t.match(await verify(copy, data), { code: 0, flaws: [], records: 6 }, 'the intent that has no outcome got its end')
})

t.test('an old backup is named: by the file of checkpoints, and by the anchor alone', { skip }, async t => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  const running = testLedger(t, database, data, { seed: ledgerSeed(data), audit: { durability: 'fsync', maxOutage: 5_000, spoolMax: 1e9, checkpointEvery: 20, anchor: undefined } })
  running.append(intent('a'))
  await written(running)
  while (readCheckpointFiles(data).length < 1) await new Promise(resolve => setTimeout(resolve, 20))
  const file = join(data, 'portcullis.dump')
  await dump(database, file)
  running.append(outcome('a'))
  await running.close()
  const later = testLedger(t, database, data, { seed: ledgerSeed(data) })
  later.append(intent('b'))
  later.append(outcome('b'))
  await later.close()
  t.match(await verify(database, data), { code: 0, flaws: [] })

  const copy = await restored(t, file)
  t.match(await verify(copy, data), { code: 1, flaws: ['cut off 2', 'chain missing 1'] })
  // The same keys on a machine without that file.
  const elsewhere = temporaryDirectory(t)
  const anchor = join(elsewhere, 'anchor.jsonl')
  writeFileSync(anchor, readCheckpointFiles(data).join('\n'))
  await run('cp', ['-r', join(data, 'keys'), elsewhere])
  t.match(await verify(copy, elsewhere), { code: 0 }, 'the database alone does not show it')
  t.match(await verify(copy, elsewhere, anchor), { code: 1, flaws: ['cut off 2', 'chain missing 1'] })
})
