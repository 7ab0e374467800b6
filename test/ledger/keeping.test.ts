import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'

import t from 'tap'
import type { Test } from 'tap'

import { auditHold, auditHolds, auditLift } from '../../src/commands/audit-hold.ts'
import { auditArchive, auditRetain } from '../../src/commands/audit-keeping.ts'
import type { KeepingCommand, RetainCommandOptions } from '../../src/commands/audit-keeping.ts'
import { auditKey, auditVerify, verifyArchives } from '../../src/commands/audit-verify.ts'
import { migrateDatabase } from '../../src/commands/db.ts'
import { loadConfig } from '../../src/config/config.ts'
import { ledgerSeed } from '../../src/ledger/keys.ts'
import { startGateway, until } from '../support/gateway.ts'
import { intent, outcome, temporaryDirectory, testLedger } from '../support/ledger.ts'
import { leaveChain } from '../support/old-records.ts'
import type { Dated, Site } from '../support/old-records.ts'
import { testDatabase } from '../support/postgres.ts'

const long = '20000000-0000-4000-8000-000000000001'
const short = '20000000-0000-4000-8000-000000000002'
const bob = { id: 'id-of-bob', name: 'bob' }

const call = (record: string, month: string, more: Parameters<typeof intent>[1] = {}): Dated[] => [[`2025-${month}-10T10:00:00.000Z`, intent(record, more)], [`2025-${month}-10T10:00:01.000Z`, outcome(record)]]

/** One gateway that ran from January to March 2025, and one that ran in January only. */
async function threeMonths (t: Test): Promise<Site> {
  const site = { database: await testDatabase(t), data: temporaryDirectory(t) }
  await leaveChain(site, long, [[...call('jan1', '01'), ...call('jan2', '01')], call('feb', '02', { principal: bob, upstream: 'github' }), call('mar', '03')])
  await leaveChain(site, short, [call('alone', '01')])
  return site
}

/** In the middle of March 2026. */
const now = Date.parse('2026-03-15T00:00:00Z')

async function command (t: Test, { database, data }: Site, work: (command: KeepingCommand) => Promise<number | void>): Promise<{ code: number, text: string }> {
  const ledger = testLedger(t, database, data, { seed: ledgerSeed(data) })
  const { audit } = loadConfig({}, { file: join(t.testdir({ 'u.yaml': 'upstreams: { a: { command: x } }\naudit: { retention: 390d }' }), 'u.yaml') })
  let text = ''
  const code = await work({ database, ledger, config: { data, audit }, out: (chunk) => { text += chunk } })
  await ledger.close()
  return { code: code ?? 0, text }
}

const retain = async (t: Test, site: Site, options: RetainCommandOptions = {}): Promise<{ code: number, text: string }> => await command(t, site, async work => await auditRetain(work, options, now))

async function verify ({ database, data }: Site, archive: string[] = []): Promise<{ code: number, flaws: string[], text: string }> {
  let text = ''
  const code = await auditVerify({ database, out: (chunk) => { text += chunk }, config: { data } }, { archive, json: true })
  const { findings } = JSON.parse(text) as { findings: { flaw: string, seq?: number }[] }
  return { code, flaws: findings.map(({ flaw, seq }) => `${flaw} ${seq ?? ''}`.trim()), text }
}

/** Every statement as somebody who can switch the triggers off. */
async function tamper ({ database: { pool } }: Site, ...statements: string[]): Promise<void> {
  const client = await pool.connect()
  await client.query("set session_replication_role = 'replica'")
  for (const statement of statements) await client.query(statement)
  await client.query("set session_replication_role = 'origin'")
  client.release()
}

async function recordsIn ({ database }: Site): Promise<string[]> {
  const { rows } = await database.pool.query<{ record: string }>("select record from ledger.event where kind = 'call' order by ts, record")
  return rows.map(({ record }) => record)
}

t.test('the months of the next records are there before the records are', async t => {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t))
  ledger.append(intent('a'))
  await ledger.close()
  const { rows } = await database.pool.query<{ name: string }>("select relname as name from pg_inherits join pg_class on oid = inhrelid where inhparent = 'ledger.event'::regclass order by 1")
  const [year, month] = [new Date().getUTCFullYear(), new Date().getUTCMonth()]
  const ahead = [0, 1, 2].map(more => `event_${new Date(Date.UTC(year, month + more)).toISOString().slice(0, 7).replace('-', '_')}`)
  t.strictSame(rows.map(({ name }) => name), [...ahead, 'event_default'])
})

t.test('what is older than retention goes by whole months, and the rest still verifies', async t => {
  const site = await threeMonths(t)
  t.match(await retain(t, site), { code: 0, text: /^event_2025_01: 6 records were taken out\.\n$/ }, 'February has records that are not old enough')
  t.strictSame(await recordsIn(site), ['feb', 'mar'])
  t.match(await verify(site), { code: 0, flaws: [] })
  const { rows } = await site.database.pool.query("select detail from ledger.attempt where kind = 'admin'")
  t.match(rows, [{ detail: { action: 'retention', part: 'event_2025_01', records: 6, chains: 2 } }], 'it is on the record')
  t.equal((await site.database.pool.query('select from ledger.checkpoint where chain_id = $1 and seq < 4', [long])).rowCount, 0)
  t.match(await retain(t, site), { code: 0, text: 'No month is old enough yet.\n' })
  t.match(await retain(t, site, { olderThan: '300d' }), { code: 0, text: /event_2025_02: 2 records[^]*event_2025_03: 2 records/ })
  t.match(await verify(site), { code: 0, flaws: [] })
  await t.rejects(retain(t, site, { olderThan: '3 weeks' }), { message: '--older-than "3 weeks" is not a duration of at least 1d, such as 400d.' })
})

t.test('records that go without a signature for retention are missed, whatever the chain says', async t => {
  const site = await threeMonths(t)
  await tamper(site, 'drop table ledger.event_2025_01', `update ledger.chain set pruned_seq = 4, pruned_hash = decode((select statement::json ->> 'hash' from ledger.checkpoint where chain_id = '${long}' and seq = 4), 'hex') where chain_id = '${long}'`)
  t.match(await verify(site), { code: 1, flaws: ['missing 1', 'cut off 1'] })
})

t.test('records that come back after retention took them are no part of the chain', async t => {
  const site = await threeMonths(t)
  await site.database.pool.query('create table kept as select * from ledger.event where chain_id = $1 and seq < 3', [long])
  await retain(t, site)
  await site.database.pool.query('insert into ledger.event select * from kept')
  t.match(await verify(site), { code: 1, flaws: ['added 1'] })
})

t.test('what does not verify does not go, unless that is said', async t => {
  const site = await threeMonths(t)
  await tamper(site, `update ledger.event set principal = 'mallory' where chain_id = '${long}' and seq = 3`)
  t.match(await retain(t, site), { code: 1, text: /^Nothing was taken out, because the ledger is not as it was written:\n {2}EDITED {2}Record 3 \(jan2/ })
  t.equal((await recordsIn(site)).length, 5)
  t.match(await retain(t, site, { despiteFindings: true }), { code: 0, text: /event_2025_01: 6 records/ })
  const { rows } = await site.database.pool.query("select detail from ledger.attempt where kind = 'admin'")
  t.match(rows, [{ detail: { despite: [/Record 3/] } }])
})

t.test('a hold keeps the month of what it matches, and all later ones, until it is lifted', async t => {
  const site = await threeMonths(t)
  await command(t, site, async work => await auditHold(work, 'case 7', { user: 'bob', upstream: 'github' }, now))
  t.match(await retain(t, site, { olderThan: '300d' }), { code: 1, text: /^event_2025_01: 6 records[^]*\nevent_2025_02 and what is later stay: hold 1 keeps them\.\n$/ })
  t.strictSame(await recordsIn(site), ['feb', 'mar'])
  await t.rejects(site.database.pool.query("select ledger.drop_part('event_2025_02', false)"), { message: 'event_2025_02 is kept by hold 1' }, 'the database says so too')
  t.match(await command(t, site, async work => await auditHolds(work)), { text: /^NUMBER +KEEPS +REASON[^]*\n1 +user bob, upstream github +case 7 / })
  await t.rejects(command(t, site, async work => await auditLift(work, '7')), { message: /^There is no hold 7 that could be lifted/ })
  t.match(await command(t, site, async work => await auditLift(work, '1')), { text: 'Hold 1 is lifted.\n' })
  t.match(await retain(t, site, { olderThan: '300d' }), { code: 0, text: /event_2025_02: 2 records[^]*event_2025_03/ })
  const { rows } = await site.database.pool.query("select detail ->> 'action' as action from ledger.attempt where kind = 'admin' and detail ->> 'action' <> 'retention' order by time")
  t.match(rows, [{ action: 'hold' }, { action: 'lift hold' }])
  t.match(await verify(site), { code: 0, flaws: [] })
})

t.test('archives and ledger together have every record; an archive that was changed, or is gone, is named', async t => {
  const site = await threeMonths(t)
  const directory = join(site.data, 'archive')
  t.match(await retain(t, site, { olderThan: '300d', archive: directory }), { code: 0, text: /event_2025_01: 6 records were taken out; they are in .*portcullis-ledger-2025-01\.jsonl\.gz\./ })
  t.strictSame(readdirSync(directory), ['01', '02', '03'].map(month => `portcullis-ledger-2025-${month}.jsonl.gz`))
  t.match(await verify(site, [directory]), { code: 0, flaws: [] })

  const january = join(directory, 'portcullis-ledger-2025-01.jsonl.gz')
  const good = readFileSync(january)
  const key = join(site.data, 'key.pem')
  auditKey(site.data, (pem) => writeFileSync(key, pem))
  const offline = async (): Promise<{ code: number, text: string }> => {
    let text = ''
    return { code: await verifyArchives([january], [key], (chunk) => { text += chunk }), text }
  }
  t.match(await offline(), { code: 0, text: '1 archives with 6 records were read, all of them as they were written.\n' })
  const lines = gunzipSync(good).toString().split('\n')
  const altered: readonly (readonly [what: string, bytes: Buffer, flaw: RegExp])[] = [
    ['a record was edited', gzipSync(lines.map((line, n) => n === 3 ? line.replace('alice', 'mallory') : line).join('\n')), /^EDITED {2}Archive portcullis-ledger-2025-01\.jsonl\.gz: record 3 was changed/],
    ['a record was removed', gzipSync(lines.filter((_, n) => n !== 2).join('\n')), /^EDITED .*record 2 was changed, removed or moved/],
    ['the last record was removed', gzipSync(lines.slice(0, -2).join('\n')), /^CUT OFF .*the records from 2 to 2 are missing/],
    ['a record was added', gzipSync([...lines.slice(0, -1), lines[1], ''].join('\n')), /^ADDED /],
    ['what it says of itself was changed', gzipSync(lines.map((line, n) => n === 0 ? line.replace('"node":"test"', '"node":"best"') : line).join('\n')), /^BAD SIGNATURE /],
    ['the file was cut off', good.subarray(0, good.length - 20), /^CUT OFF .*damaged/],
    ['it is something else', gzipSync('hello\n'), /^BAD SIGNATURE .*does not begin as/],
  ]
  for (const [what, bytes, flaw] of altered) {
    writeFileSync(january, bytes)
    t.match(await offline(), { code: 1, text: flaw }, what)
    t.equal((await verify(site, [directory])).code, 1, what)
  }
  rmSync(january)
  t.match(await verify(site, [directory]), { code: 1, flaws: ['missing 1', 'missing 1'] }, 'both chains miss their beginning')
})

t.test('a month that is over is archived once, and not at all when it does not verify', async t => {
  const site = await threeMonths(t)
  const directory = join(site.data, 'archive')
  const archive = async (): Promise<{ code: number, text: string }> => await command(t, site, async work => await auditArchive(work, directory, {}, now))
  t.match(await archive(), { code: 0, text: /2025-01\.jsonl\.gz was written\.\n.*2025-02\.jsonl\.gz was written\.\n.*2025-03\.jsonl\.gz was written\.\n$/ })
  t.match(await archive(), { code: 0, text: 'Every month that is over is there already.\n' })
  rmSync(directory, { recursive: true })
  await tamper(site, `update ledger.event set principal = 'mallory' where chain_id = '${long}' and seq = 3`)
  t.match(await archive(), { code: 1, text: /^Nothing was written, because the ledger is not as it was:\n {2}EDITED/ })
  t.notOk(existsSync(directory))
})

t.test('the role of a gateway may add a hold; it can neither lift one nor take records out', async t => {
  const site = await threeMonths(t)
  const role = `keeping_${process.pid}`
  await site.database.pool.query(`create role ${role} login password 'teapot'`)
  t.teardown(async () => {
    await site.database.pool.query(`drop owned by ${role}`)
    await site.database.pool.query(`drop role ${role}`)
  })
  await migrateDatabase({ data: '', databaseUrl: site.database.url, out: () => {} }, role)
  const url = new URL(site.database.url)
  url.username = role
  url.password = 'teapot'
  const { openDatabase } = await import('../../db/connect.ts')
  const database = await openDatabase({ url: url.href, data: '' })
  t.teardown(async () => await database.close())
  const restricted = { ...site, database }
  t.match(await command(t, restricted, async work => await auditHold(work, 'case 7', {}, now)), { text: 'Hold 1 keeps everything.\n' })
  await t.rejects(command(t, restricted, async work => await auditLift(work, '1')), { message: /^This role may not lift a hold: that takes the owner of the database/ })
  await t.rejects(retain(t, restricted), { message: /^This role may not take records out of the ledger/ })
  for (const statement of ["select ledger.drop_part('event_2025_01', false)", 'update ledger.hold set lifted_at = now()', 'delete from ledger.hold', 'drop table ledger.event_2025_01']) {
    await t.rejects(database.pool.query(statement), { code: '42501' }, statement)
  }
  const gateway = await startGateway(t, { database: site.database, env: { DATABASE_URL: url.href }, yaml: { audit: { retention: '400d' } } })
  await until(() => gateway.log().includes('run `portcullis audit retain` as its owner'))
  t.equal((await recordsIn(site)).length, 5)
})

t.test('a gateway that owns its database takes out what is too old by itself, and archives it first', async t => {
  const folder = temporaryDirectory(t)
  const site = { database: await testDatabase(t), data: join(folder, 'data') }
  await leaveChain(site, long, [call('jan1', '01')])
  const { chmodSync } = await import('node:fs')
  chmodSync(folder, 0o755)
  const gateway = await startGateway(t, { folder, database: site.database, yaml: { audit: { retention: '300d', archive: 'archive' } } })
  await until(() => gateway.log().includes('retention took a month out of the ledger'), 30_000)
  t.strictSame(await recordsIn(site), [])
  t.strictSame(readdirSync(join(folder, 'archive')), ['portcullis-ledger-2025-01.jsonl.gz'])
  await gateway.gateway.close(0)
  t.match(await verify(site, [join(folder, 'archive')]), { code: 0, flaws: [] })
})
