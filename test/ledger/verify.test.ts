import t from 'tap'
import type { Test } from 'tap'

import { copyChain, memberColumns, numberColumns } from '../../db/chain-copy.ts'
import { chainRows, notAsWritten } from '../../db/chain-rows.ts'
import type { Database } from '../../db/connect.ts'
import { withSnapshot } from '../../db/snapshot.ts'
import type { Entry } from '../../src/ledger/entry.ts'
import { ledgerSeed, trustedKeys } from '../../src/ledger/keys.ts'
import { Follower } from '../../src/ledger/verify/follow.ts'
import { verifyLedger } from '../../src/ledger/verify/verify.ts'
import { beginning } from '../../src/ledger/verify/walk.ts'
import { audit, intent, outcome, temporaryDirectory, testLedger } from '../support/ledger.ts'
import { testDatabase } from '../support/postgres.ts'

interface Site { readonly database: Database, readonly data: string }

/** A ledger with these records, in one chain that is signed. */
async function ledgerOf (t: Test, entries: readonly Entry[]): Promise<Site> {
  const site = { database: await testDatabase(t), data: temporaryDirectory(t) }
  const ledger = testLedger(t, site.database, site.data, { seed: ledgerSeed(site.data), audit: { ...audit, durability: 'os' } })
  for (const entry of entries) ledger.append(entry)
  await ledger.close()
  return site
}

async function verify ({ database, data }: Site): Promise<{ records: number, flaws: string[], texts: string[] }> {
  const { records, findings } = await verifyLedger({ database, keys: trustedKeys(data, []), sources: [] })
  return { records, flaws: findings.map(({ flaw, seq }) => `${flaw} ${seq ?? ''}`.trim()), texts: findings.map(({ text }) => text) }
}

/** Does `statement` as somebody who can switch the triggers off. Returns how to undo it. */
async function tamper ({ database: { pool } }: Site, statement: string): Promise<() => Promise<void>> {
  const client = await pool.connect()
  await client.query("set session_replication_role = 'replica'")
  await client.query('create table kept as select * from ledger.event')
  t.ok((await client.query(statement)).rowCount)
  return async () => {
    await client.query('delete from ledger.event')
    await client.query('insert into ledger.event select * from kept')
    await client.query('drop table kept')
    await client.query("set session_replication_role = 'origin'")
    client.release()
  }
}

/** Every column has something. */
const full = { token: 'token-1', client: 'assistant/1.0', session: 'session-1', source: '10.1.2.7', era: '2025-11-25', code: 'E_X', outcome: 'ok', durationMs: 12.5, bytesOut: 34 } as const
const empty: Entry = { kind: 'gateway', record: 'bare' }

t.test('every column that is edited or emptied alone is found and named', async t => {
  const site = await ledgerOf(t, [intent('first'), intent('full', full), empty, outcome('last')])
  t.strictSame((await verify(site)).flaws, [])
  for (const column of memberColumns) {
    const value = numberColumns.has(column) ? '7' : "'other'"
    for (const [seq, edit] of column === 'kind' || column === 'record' ? [[2, value]] as const : [[2, 'null'], [3, value]] as const) {
      const undo = await tamper(site, `update ledger.event set ${column} = ${edit} where seq = ${seq}`)
      const { flaws, texts } = await verify(site)
      t.strictSame(flaws, [`edited ${seq}`], `${column} = ${edit} in record ${seq}`)
      t.match(texts[0], /Record \d \((?:full|bare|other), 20.*\) was changed in its columns: they do not say what its text says\./)
      await undo()
    }
  }
  for (const time of ["ts + interval '1 microsecond'", "'2000-01-01T00:00:00.5Z'", "'infinity'"]) {
    const undo = await tamper(site, `update ledger.event set ts = ${time} where seq = 2`)
    t.strictSame((await verify(site)).flaws, ['edited 2'], `ts = ${time}`)
    await undo()
  }
  t.strictSame((await verify(site)).flaws, [])
})

const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const texts = memberColumns.filter(name => !numberColumns.has(name))

/** Ways to change one column, or to make it pose as several. */
const edits: readonly string[] = [
  ...texts.flatMap(name => [`${name} = 'other'`, `${name} = ${name} || 'x'`, `${name} = left(${name}, -1)`, `${name} = ''`, `${name} = overlay(${name} placing '~' from 1 for 1)`, `${name} = ${name} || chr(92)`, `${name} = ${name} || '"'`]),
  ...[...numberColumns].flatMap(([name, type]) => [`${name} = ${name} + 1`, `${name} = -${name}`, `${name} = 0`, `${name} = 1e15`, `${name} = null`, ...(type === 'double' ? [`${name} = 'NaN'`, `${name} = 'infinity'`, `${name} = ${name} + 1e-9`] : [`${name} = ${name} + 4294967296`])]),
  ...texts.slice(2).map(name => `${name} = null`),
  ...texts.slice(2, -1).map((name, n) => [name, texts[n + 3] ?? '']).map(([one, other]) => `${one} = ${one} || '","${other}":"' || ${other}, ${other} = null`),
  "outcome = outcome || '\",\"duration_ms\":12.5', duration_ms = null",
  `era = era || '","trace":"${trace}'`,
  `era = era || '","trace":"${trace}","method":"' || method, method = null`,
  ...["ts + interval '1 microsecond'", "ts + interval '1 millisecond'", "ts - interval '1 second'", "ts + interval '1 year'", "'1999-12-31T23:59:59.5Z'", "'2000-01-01T00:00:00.5Z'", "'2300-01-01T00:00:00Z'", "'200000-01-01T00:00:00Z'", "'infinity'", "'-infinity'"].map(time => `ts = ${time}`),
]

t.test('no edit of columns is taken for what was written, in records with and without a trace', async t => {
  const site = await ledgerOf(t, edits.flatMap((_, n) => [intent(`edited${n}`, full), intent(`traced${n}`, { ...full, trace }), intent(`left${n}`, full)]))
  t.strictSame(await judged(site), [])
  const client = await site.database.pool.connect()
  await client.query("set session_replication_role = 'replica'")
  for (const [n, edit] of edits.entries()) await client.query(`update ledger.event set ${edit} where seq in (${3 * n + 1}, ${3 * n + 2})`)
  await client.query("set session_replication_role = 'origin'")
  client.release()
  const unsure = await judged(site)
  t.strictSame(edits.filter((_, n) => !unsure.includes(3 * n + 1) || !unsure.includes(3 * n + 2)), [], 'each of them is looked at closely')
  t.equal(unsure.length, 2 * edits.length, 'and those that were left alone are not')
  await withSnapshot(site.database.url, async ({ db }) => {
    const [chain] = await chainRows(db)
    for (const seq of unsure) t.equal(await notAsWritten(db, chain?.id ?? '', [seq]), seq, edits[Math.floor((seq - 1) / 3)] ?? '')
  })
})

/** Numbers of the records about which the database has to be asked. */
async function judged ({ database: { url } }: Site): Promise<readonly number[]> {
  return await withSnapshot(url, async (snapshot) => {
    const [chain] = await chainRows(snapshot.db)
    if (chain === undefined) throw new Error('There is no chain.')
    const follower = new Follower(beginning(chain), [], 10)
    await copyChain(snapshot, chain.id, 0, chain.lastSeq, 100_000, follower.row)
    t.match(follower, { stopped: undefined, tip: { seq: chain.lastSeq, hash: chain.lastHash } })
    return follower.unsure
  })
}

const unusual: readonly (readonly [what: string, entry: Entry])[] = [
  ['a quote', intent('q', { client: 'the "quoted" one' })],
  ['a backslash', intent('b', { target: 'C:\\files\\a' })],
  ['control characters', intent('c', { rule: 'a\u0001b\tc\u007f' })],
  ['line breaks', intent('l', { target: 'one\ntwo\r\nthree' })],
  ['a lone surrogate', intent('s', { client: 'half \ud83e of a pair' })],
  ['an escape in a trace', intent('t', { trace: 'a "trace"' })],
  ['a number of many digits', outcome('n', { bytesOut: 1e15 })],
]

const ordinary: readonly (readonly [what: string, entry: Entry])[] = [
  ['other scripts', intent('u', { client: 'ünïcödé 名前 🦊', principal: { id: 'идентификатор', name: 'الاسم' } })],
  ['a trace', intent('t', { trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', ...full })],
  ['a trace and no method', intent('m', { trace: 'x', method: undefined, upstream: undefined })],
  ['nothing but a kind', empty],
  ['empty strings', intent('', { client: '', target: '' })],
  ['names cut at 400 characters', intent('c', { target: 'ä'.repeat(500) })],
  ['a long text', intent('l', { args: JSON.stringify({ text: 'a word, '.repeat(50_000) }) })],
  ['a text of many bytes a character', intent('w', { args: JSON.stringify({ text: '🦊名'.repeat(30_000) }) })],
  ['members without columns', intent('d', { digest: 'sha256:00', sealed: 'abc', policy: '0123', detail: { tool: 'other', ts: 1 } })],
  ['a detail alone', { ...empty, detail: { a: [1, 2] } }],
  ['text that looks like members', intent('x', { args: '{"kind":"x","tool":"y\\",\\"rule\\":\\"z"}' })],
  ...[0, 0.07, 0.1, 0.3, 1, 12.345, 99.99, 1234567.89, 86_400_000, -0].map(durationMs => [`a duration of ${durationMs}`, outcome('d', { durationMs, bytesIn: 0, bytesOut: 123_456_789_012 })] as const),
]

t.test('unusual records verify like others, and are found when they are edited', async t => {
  const entries = [...unusual, ...ordinary].map(([, entry]) => entry)
  const site = await ledgerOf(t, entries)
  t.strictSame((await verify(site)).flaws, [])
  for (let seq = 1; seq <= unusual.length; seq++) {
    const undo = await tamper(site, `update ledger.event set code = 'x' where seq = ${seq}`)
    t.strictSame((await verify(site)).flaws, [`edited ${seq}`], unusual[seq - 1]?.[0] ?? '')
    await undo()
  }
})

t.test('the database is asked about unusual records, and about no others', async t => {
  const all = [...ordinary, ...unusual]
  const unsure = await judged(await ledgerOf(t, all.map(([, entry]) => entry)))
  t.strictSame(unsure.map(seq => all[seq - 1]?.[0]), unusual.map(([what]) => what))
})

t.test('in a long chain the first flaw is named, among unusual records too', async t => {
  const entries = Array.from({ length: 9_000 }, (_, n) => outcome(`a${n}`, n % 3 === 0 ? { client: '"' } : {}))
  const site = await ledgerOf(t, entries)
  t.strictSame(await verify(site), { records: 9_000, flaws: [], texts: [] })
  for (const [statement, flaw] of [
    ["update ledger.event set client = '' where seq in (4999, 8500)", 'edited 4999'],
    ["update ledger.event set outcome = '' where seq in (4001, 8002)", 'edited 4001'],
    ['delete from ledger.event where seq in (8000, 8700)', 'missing 8000'],
    ['delete from ledger.event where seq > 8000', 'cut off 8001'],
    ["update ledger.event set body = (body::text || ' ')::json where seq = 4000", 'edited 4000'],
  ] as const) {
    const undo = await tamper(site, statement)
    t.strictSame((await verify(site)).flaws, [flaw], statement)
    await undo()
  }
})

t.test('a database that stops answering in the middle is an error, and nothing hangs', async t => {
  const site = await ledgerOf(t, [intent('one')])
  await t.rejects(withSnapshot(site.database.url, async snapshot => await copyChain(snapshot, 'no chain', 0, 1, 10, () => {})), { code: '22P02' })
  await t.rejects(withSnapshot(site.database.url, async (snapshot) => {
    const { rows: [own] } = await snapshot.client.query<{ pid: number }>('select pg_backend_pid() as pid')
    await site.database.pool.query('select pg_terminate_backend($1)', [own?.pid])
    await copyChain(snapshot, '00000000-0000-4000-8000-000000000000', 0, 1, 10, () => {})
  }), { message: /terminat|connection error|EPIPE|ECONNRESET/ })
})
