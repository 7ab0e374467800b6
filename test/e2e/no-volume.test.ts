import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { cableTo } from '../support/outage.ts'
import { testDatabase } from '../support/postgres.ts'
import { temporaryDirectory, testLedger, audit, intent, durable, outcome } from '../support/ledger.ts'

const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } } }

/** Calls `echo` with a text no other call has. */
async function caller (gateway: TestGateway): Promise<() => Promise<{ text: string, code: string | undefined }>> {
  const token = await gateway.addUser('alice', ['user'])
  const opened = await gateway.post('/mcp/fixture', token, initialize)
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '' }
  let sent = 0
  return async () => {
    const text = `call ${sent++}`
    const response = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text } } }, session)
    // An answer that takes long comes as an event stream.
    const body = JSON.parse((await response.text()).split('data: ').at(-1) ?? '') as { error?: { data?: { code?: string } } }
    return { text, code: body.error?.data?.code }
  }
}

t.test('durability database: who has an answer finds it in the database, and nothing waits on a disk', async (t) => {
  const database = await testDatabase(t)
  const cable = await cableTo(t, database.url)
  const gateway = await startGateway(t, { database, env: { DATABASE_URL: cable.url }, yaml: { limits: [{ calls: 1_000_000, per: 'hour', by: ['user'] }], audit: { durability: 'database', max_outage: '1s' } } })
  const call = await caller(gateway)
  const { text } = await call()
  const { rows } = await database.pool.query<{ outcome: string }>("select outcome from ledger.attempt where kind = 'call' and arguments ->> 'text' = $1", [text])
  t.strictSame(rows, [{ outcome: 'ok' }], 'at the moment of the answer')
  t.strictSame(readdirSync(join(gateway.folder, 'data', 'ledger')), [], 'the spool is empty')

  await cable.pull()
  let refused: Awaited<ReturnType<typeof call>> | undefined
  await until(async () => {
    const answer = await call()
    if (answer.code !== undefined) refused = answer
    return refused !== undefined
  }, 30_000)
  t.match(refused, { code: /^PORTCULLIS_(LEDGER_UNAVAILABLE|OVERLOADED)$/ })
  const forwarded = (): (string | undefined)[] => gateway.calls().filter(({ method }) => method === 'tools/call').map(({ params }) => (params['arguments'] as { text?: string }).text)
  t.notOk(forwarded().includes(refused?.text), 'a refused call was not forwarded')

  await cable.plug()
  await until(async () => (await call()).code === undefined, 30_000)
  const recorded = (await gateway.rows({ kind: 'call', tool: 'echo' })).map(({ arguments: args }) => (args as { text: string }).text)
  t.strictSame(forwarded().filter((text) => !recorded.includes(text ?? '')), [], 'every forwarded call is on the record')
  t.equal(new Set(recorded).size, recorded.length, 'and none twice')
})

t.test('durability database: who waits for a database that is away is told, and the record is kept', async (t) => {
  const database = await testDatabase(t)
  let away = false
  const pool = new Proxy(database.pool, { get: (target, name) => name === 'query' && away ? async () => { throw new Error('away') } : Reflect.get(target, name) as unknown })
  const ledger = testLedger(t, { db: database.db, pool }, temporaryDirectory(t), { audit: { ...audit, durability: 'database', maxOutage: 3_000 } })
  ledger.append(intent('before'))
  await durable(ledger)
  away = true
  ledger.append(intent('during'))
  await t.rejects(durable(ledger), /has not taken any record/)
  t.throws(() => ledger.append(intent('refused')), { code: 'PORTCULLIS_LEDGER_UNAVAILABLE' })
  ledger.append(outcome('before'), { force: true })
  away = false
  await until(() => ledger.status.lagRecords === 0, 30_000)
  ledger.append(intent('after'))
  await durable(ledger)
  const { rows } = await database.pool.query<{ what: string }>("select kind || ' ' || record as what from ledger.event where kind <> 'gateway' order by seq")
  t.strictSame(rows.map(({ what }) => what), ['call before', 'call during', 'outcome before', 'call after'])
})

t.test('durability database: the chain of a gateway that is gone is closed and signed by another; that of one that lives is not', async (t) => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  const options = { audit: { ...audit, durability: 'database' }, thread: database } as const
  const living = testLedger(t, database, data, options)
  living.append(intent('living'))
  await durable(living)
  // One that was killed: its records, and nobody who holds the chain.
  const gone = 'd0d0d0d0-0000-4000-8000-000000000001'
  await database.pool.query('select ledger.open_chain($1, $2, now())', [gone, 'gone'])
  await database.pool.query('select ledger.ingest($1, 1, $2::text)', [gone, ['{"ts":"2026-11-01T00:00:00.000Z","kind":"gateway","record":"r1","detail":{"event":"open","durability":"database"}}', '{"ts":"2026-11-01T00:00:00.000Z","kind":"call","record":"r2","decision":"allow"}'].join('\n')])
  testLedger(t, database, temporaryDirectory(t), options)
  const closed = async (): Promise<string[]> => (await database.pool.query<{ chain_id: string }>('select chain_id from ledger.chain where closed_at is not null')).rows.map(({ chain_id: chain }) => chain)
  await until(async () => (await closed()).length > 0, 30_000)
  t.strictSame(await closed(), [gone])
  await until(async () => (await database.pool.query('select from ledger.checkpoint where chain_id = $1 and seq = 2', [gone])).rowCount === 1, 30_000)
  const { rows } = await database.pool.query<{ outcome: string }>("select outcome from ledger.attempt where record = 'r2'")
  t.strictSame(rows, [{ outcome: 'unknown' }])
})
