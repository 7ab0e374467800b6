import t from 'tap'

import { indexDatabase, migrateDatabase } from '../../src/commands/db.ts'
import { search } from '../../src/ledger/query.ts'
import type { AttemptFilter } from '../../src/ledger/query.ts'
import { missingIndexes } from '../../db/ledger-indexes.ts'
import { openDatabase } from '../../db/connect.ts'
import { audit, intent, outcome, temporaryDirectory, testLedger, written } from '../support/ledger.ts'
import { testDatabase } from '../support/postgres.ts'

const bob = { id: '7a7a7a7a-0000-4000-8000-000000000002', name: 'bob' }

t.test('a search finds the same with and without the index of words', async t => {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t), { audit: { ...audit, durability: 'database' } })
  const calls = { report: '{"path":"/data/Report-2026.md"}', unrelated: '{"path":"/data/my.airport"}', umlaut: '{"name":"Ärger & Co"}', signs: '{"query":"a <-> b | c:*"}' }
  for (const [record, args] of Object.entries(calls)) {
    ledger.append(intent(record, { args }))
    ledger.append(outcome(record))
  }
  ledger.append(intent('late', { principal: bob }))
  ledger.append(outcome('late', { outcome: 'timeout', code: 'PORTCULLIS_TIMEOUT' }))
  ledger.append({ kind: 'refusal', record: 'denied', principal: bob, decision: 'deny', outcome: 'refused', code: 'PORTCULLIS_UNKNOWN_TARGET', upstream: 'files', target: 'x' })
  ledger.append({ kind: 'login', record: 'login', principal: bob, decision: 'allow', outcome: 'ok' })
  await written(ledger)

  const expected: [filter: AttemptFilter, records: string[]][] = [
    [{ text: 'report' }, ['report']],
    [{ text: 'REPORT-20' }, ['report']],
    [{ text: 'port' }, []],
    [{ text: 'ärger & c' }, ['umlaut']],
    [{ text: '<-> b | c:*' }, ['signs']],
    [{ text: '<->' }, ['signs']],
    [{ text: 'nowhere' }, []],
    [{ text: 'data', user: 'bob' }, ['late']],
    [{ user: 'bob', kind: 'login' }, ['login']],
    [{ user: bob.id }, ['denied', 'late', 'login']],
    [{ user: 'nobody' }, []],
    [{ outcome: 'timeout' }, ['late']],
    [{ code: 'PORTCULLIS_TIMEOUT' }, ['late']],
    [{ outcome: 'refused' }, ['denied']],
    [{ decision: 'deny' }, ['denied']],
    [{ outcome: 'ok', upstream: 'files' }, ['report', 'signs', 'umlaut', 'unrelated']],
  ]
  const look = async (when: string): Promise<void> => {
    for (const [filter, records] of expected) {
      t.strictSame((await search(database, filter, 100)).map(({ record }) => record).sort(), records, `${JSON.stringify(filter)} ${when}`)
    }
  }
  await look('without')
  let text = ''
  const place = { data: '', databaseUrl: database.url, out: (chunk: string) => { text += chunk } }
  await indexDatabase(place, true)
  t.match(text, /Built event_words over event_\d{4}_\d\d\.\n(.*\n)*The ledger has all its indexes\.\n$/)
  await look('with')
  await database.pool.query("select ledger.ensure_month(now() + interval '1 year')")
  t.strictSame(await missingIndexes(database.db), [], 'the months to come have it too')
  await indexDatabase(place, false)
  const { rows } = await database.pool.query("select from pg_class where relname like '%words'")
  t.equal(rows.length, 0)
})

t.test('what an upgrade left out is built beside a gateway that writes, and replaces what there was', async t => {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t), { audit: { ...audit, durability: 'database' } })
  ledger.append(intent('a'))
  await written(ledger)
  // As the migration leaves a partition that is large.
  const { rows: [part] } = await database.pool.query<{ name: string }>("select c.relname as name from pg_inherits h join pg_class c on c.oid = h.inhrelid where h.inhparent = 'ledger.event'::regclass and c.relname <> 'event_default'")
  await database.pool.query('drop index ledger.event_kind, ledger.event_person')
  await database.pool.query("create index event_kind on only ledger.event (kind, ts) where kind <> all ('{call,outcome}'::text[])")
  await database.pool.query("create index event_person on only ledger.event (principal_id, ts) where kind <> all ('{outcome,recovered}'::text[])")
  await database.pool.query('create index event_principal on ledger.event (principal_id, ts)')
  // A build that was cut off leaves an index of that name that is not valid.
  await database.pool.query(`create index ${part?.name}_kind on ledger.${part?.name} (ts)`)
  t.ok((await missingIndexes(database.db)).some(({ table, index }) => table === part?.name && index === 'event_kind'))

  // Somebody else is building: nothing is done twice.
  const other = await openDatabase({ url: database.url, data: '', migrate: false })
  t.teardown(async () => await other.close())
  const client = await other.pool.connect()
  await client.query("select pg_advisory_lock(hashtext('ledger.make_indexes'))")
  const place = { data: '', databaseUrl: database.url, out: () => {} }
  await t.rejects(indexDatabase(place), /Another process/)
  await client.query("select pg_advisory_unlock(hashtext('ledger.make_indexes'))")
  client.release()

  const building = indexDatabase(place)
  ledger.append(outcome('a'))
  await written(ledger)
  await building
  t.strictSame(await missingIndexes(database.db), [])
  const { rows } = await database.pool.query<{ name: string }>("select relname as name from pg_class where relname in ('event_principal', 'event_person', 'event_kind') order by 1")
  t.strictSame(rows.map(({ name }) => name), ['event_kind', 'event_person'])
  t.equal((await search(database, { user: 'alice' }, 10)).length, 1)
})

t.test('only the owner of the database builds indexes', async t => {
  const database = await testDatabase(t)
  const role = `indexer_${process.pid}`
  await database.pool.query(`create role ${role} login password 'teapot'`)
  t.teardown(async () => {
    await database.pool.query(`drop owned by ${role}`)
    await database.pool.query(`drop role ${role}`)
  })
  await migrateDatabase({ data: '', databaseUrl: database.url, out: () => {} }, role)
  const url = new URL(database.url)
  url.username = role
  url.password = 'teapot'
  await t.rejects(indexDatabase({ data: '', databaseUrl: url.href, out: () => {} }), /takes the owner/)
})
