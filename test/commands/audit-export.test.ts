import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import t from 'tap'
import type { Test } from 'tap'

import type { Database } from '../../db/connect.ts'
import { auditExport, auditStats } from '../../src/commands/audit-export.ts'
import type { ExportOptions, StatsOptions } from '../../src/commands/audit-export.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { until } from '../support/gateway.ts'
import { intent, outcome, temporaryDirectory, testLedger, written } from '../support/ledger.ts'
import { testDatabase } from '../support/postgres.ts'

async function opened (t: Test): Promise<{ database: Database, data: string, ledger: Ledger }> {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  return { database, data, ledger: testLedger(t, database, data) }
}

async function exported (database: Database, options: ExportOptions = {}): Promise<string[]> {
  let text = ''
  await auditExport({ database, out: chunk => { text += chunk } }, options)
  return text.split('\n').slice(0, -1)
}

async function stats (database: Database, options: StatsOptions): Promise<string> {
  let text = ''
  await auditStats({ database, out: chunk => { text += chunk } }, options)
  return text
}

const evil = '=cmd|"x"\n=1,\\'
const refusal = { kind: 'refusal', record: 'b1', principal: { id: 'id-of-bob', name: evil }, upstream: 'github', target: evil, method: 'tools/call', decision: 'deny', rule: 'default', outcome: 'refused', code: 'PORTCULLIS_UNKNOWN_TARGET' } as const

t.test('an export with a cursor goes on where it ended, and leaves out nothing that came late or from another process', async t => {
  const { database, data, ledger } = await opened(t)
  const cursor = join(t.testdir(), 'siem.cursor')
  ledger.append(intent('a1'))
  ledger.append(outcome('a1'))
  const other = testLedger(t, database, data)
  other.append(intent('a2'))
  await written(other)
  await ledger.close()
  await until(() => other.status.lagRecords === 0)
  const records = async (options: ExportOptions): Promise<string[]> => (await exported(database, options)).map(line => `${(JSON.parse(line) as { record: string }).record}`)
  t.strictSame(await records({ cursor }), ['a1'], 'a call is exported when its outcome is known')
  t.strictSame(await records({ cursor }), [])
  const third = testLedger(t, database, data)
  third.append(intent('a3'))
  third.append(outcome('a3'))
  await third.close()
  other.append(outcome('a2', { outcome: 'timeout' }))
  await other.close()
  t.strictSame((await records({ cursor })).sort(), ['a2', 'a3'])
  t.strictSame(await records({ cursor }), [])
  t.strictSame((await records({})).sort(), ['a1', 'a2', 'a3'], 'without a cursor it begins at the beginning')
  t.match(readFileSync(cursor, 'utf8'), /^[\w-]+\n$/)
  await t.rejects(exported(database, { cursor: join(t.testdir({ c: 'nonsense' }), 'c') }), /is not a cursor of `portcullis audit export`/)
  await t.rejects(exported(database, { format: 'cfe' }), /--format "cfe" is not one of ndjson, csv, ocsf, cef/)
})

t.test('each format says what happened, and what a caller chose cannot leave its field', async t => {
  const { database, ledger } = await opened(t)
  ledger.append(intent('a1', { args: '{"path":"/data/a, b"}' }))
  ledger.append(outcome('a1'))
  ledger.append(refusal)
  ledger.append({ kind: 'login', record: 'l1', source: '10.1.1.1', outcome: 'ok', principal: { id: 'i', name: 'alice' } })
  await ledger.close()

  const csv = await exported(database, { format: 'csv' })
  t.match(csv[0], /^time,record,kind,principal_id,principal,/)
  t.match(csv[1], /,a1,call,.*,"\{""path"":""\/data\/a, b""\}",/)
  t.match(csv[2], /,b1,refusal,id-of-bob,"'=cmd\|""x""\\u\{000a\}=1,\\",/, 'no formula, quotes around what would end a cell, and nothing ends the line')

  const ocsf = (await exported(database, { format: 'ocsf' })).map(line => JSON.parse(line) as Record<string, unknown>)
  t.match(ocsf, [
    { class_uid: 6003, type_uid: 600399, status_id: 1, actor: { user: { name: 'alice' } }, api: { operation: 'read_file', service: { name: 'files' } }, metadata: { uid: 'a1', product: { name: 'Portcullis' } } },
    { class_uid: 6003, status_id: 2, severity_id: 3, action_id: 2, status_code: 'PORTCULLIS_UNKNOWN_TARGET' },
    { class_uid: 3002, activity_id: 1, type_uid: 300201, user: { name: 'alice' }, src_endpoint: { ip: '10.1.1.1' } },
  ])

  const cef = await exported(database, { format: 'cef' })
  t.equal(cef.length, 3)
  t.match(cef[0], /^CEF:0\|Portcullis\|Portcullis\|[\d.]+\|call\|files\/read_file\|2\|rt=\d+ externalId=a1 /)
  t.ok(cef[1]?.includes('|github/=cmd\\|"x" =1,\\\\|6|'))
  t.ok(cef[1]?.includes('suser=\\=cmd|"x" \\=1,\\\\ act=deny'))
})

t.test('what a caller chose moves no cursor and turns no writing, in whatever format it is printed', async t => {
  const { database, ledger } = await opened(t)
  const name = 'echo\u001b[2J\u001b]0;x\u0007\u202eevil\u200b\r\u2028\u0085'
  ledger.append({ ...refusal, target: name, principal: { id: 'i', name }, args: JSON.stringify({ name }), detail: { name } })
  await ledger.close()
  for (const format of ['ndjson', 'csv', 'ocsf', 'cef']) {
    const lines = await exported(database, { format })
    t.equal(lines.length, format === 'csv' ? 2 : 1, format)
    t.notMatch(lines.join(''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u, format)
  }
  t.match(JSON.parse((await exported(database))[0] ?? ''), { tool: name, principal: name }, 'JSON says the same as before')
})

t.test('stats count calls, refusals and failures by what is asked for', async t => {
  const { database, ledger } = await opened(t)
  for (const record of ['a1', 'a2', 'a3']) ledger.append(intent(record))
  ledger.append(intent('long', { principal: { id: 'id-of-eve', name: 'eve' }, upstream: 'zulu', target: 'long_'.repeat(60) }))
  ledger.append(outcome('a1', { durationMs: 10 }))
  ledger.append(outcome('a2', { durationMs: 20 }))
  ledger.append(outcome('a3', { outcome: 'timeout', durationMs: 30 }))
  ledger.append(refusal)
  await ledger.close()
  t.match(await stats(database, {}), /^TOOL +CALLS +REFUSED +FAILED +USERS[^\n]*\nfiles\/read_file +3 +0 +1 +1 +20\.0 +29\.0 +\d+\ngithub\//)
  t.ok((await stats(database, {})).split('\n').every(({ length }) => length < 140), 'a long name does not push the numbers out of sight')
  t.match(await stats(database, { by: 'outcome' }), /ok +2[^]*refused +1[^]*timeout +1|ok +2[^]*timeout +1/)
  t.match(JSON.parse((await stats(database, { by: 'user', json: true })).split('\n')[0] ?? ''), { by: 'user', name: 'alice', attempts: 3, failed: 1 })
  t.match(await stats(database, { until: '1h' }), /^There were no calls/)
  await t.rejects(stats(database, { by: 'tol' }), /--by "tol" is not one of .* did you mean "tool"\?/)
})
