import t from 'tap'

import { migrateDatabase } from '../../src/commands/db.ts'
import { startGateway } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'

t.test('a gateway runs as a role that can change nothing of the ledger', async t => {
  const database = await testDatabase(t)
  const role = `gateway_${process.pid}`
  await database.pool.query(`create role ${role} login password 'teapot'`)
  t.teardown(async () => {
    await database.pool.query(`drop owned by ${role}`)
    await database.pool.query(`drop role ${role}`)
  })
  const url = new URL(database.url)
  url.username = role
  url.password = 'teapot'
  let text = ''
  const place = { data: '', databaseUrl: database.url, out: (chunk: string) => { text += chunk } }
  await migrateDatabase(place, role)
  await migrateDatabase(place, role)
  t.match(text, /may run a gateway/)

  const gateway = await startGateway(t, { database, env: { DATABASE_URL: url.href } })
  const token = await gateway.login()
  await gateway.addUser('erin', ['user'])
  const response = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text: 'hi' }, _meta: modern } }, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' })
  t.match(await response.json(), { result: { content: [{}] } })
  t.equal((await gateway.rows({ kind: 'call', outcome: 'ok' })).length, 1, 'it records what it does')

  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  const { rows: [partition] } = await client.query<{ name: string }>("select inhrelid::regclass as name from pg_inherits where inhparent = 'ledger.event'::regclass order by 1 limit 1")
  const forbidden = [
    'insert into ledger.event select * from ledger.event limit 1',
    "update ledger.event set principal = 'mallory'",
    'delete from ledger.event',
    'truncate ledger.event',
    `delete from ${partition?.name ?? ''}`,
    `truncate ${partition?.name ?? ''}`,
    `drop table ${partition?.name ?? ''}`,
    `alter table ledger.event detach partition ${partition?.name ?? ''}`,
    'alter table ledger.event disable trigger all',
    'alter table ledger.event drop column hash',
    'drop trigger refuse_change on ledger.event',
    'update ledger.chain set last_seq = 0',
    'delete from ledger.chain',
    'update ledger.checkpoint set seq = 0',
    'delete from ledger.checkpoint',
    'truncate ledger.checkpoint',
    "set session_replication_role = 'replica'",
    'create or replace function ledger.close_chain(chain uuid) returns void language sql as $$ $$',
    'drop schema ledger cascade',
    'delete from kysely_migration',
  ]
  for (const statement of forbidden) await t.rejects(client.query(statement), { code: '42501' }, statement)
  await client.end()
})

t.test('a role that could change the ledger all the same is refused', async t => {
  const database = await testDatabase(t)
  const { rows: [owner] } = await database.pool.query<{ name: string }>('select current_user as name')
  const place = { data: '', databaseUrl: database.url, out: () => {} }
  await t.rejects(migrateDatabase(place, owner?.name), /cannot be the gateway's role: it is a superuser/)
  await t.rejects(migrateDatabase(place, 'nobody_here'), { message: /nobody_here cannot be the gateway's role: there is no such role\. Make one that owns nothing: create role nobody_here login password/ })
})

const modern = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
}
