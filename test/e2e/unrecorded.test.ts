import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import t from 'tap'
import { stringify } from 'yaml'

import { recordedGaps } from '../../db/recorded-gaps.ts'
import { auditVerify } from '../../src/commands/audit-verify.ts'
import { adminPassword, fixture, freePort, startGateway, until } from '../support/gateway.ts'
import { stopRecording } from '../support/outage.ts'
import { testDatabase } from '../support/postgres.ts'
import { connectAdmin, openFolder, ready, serve } from '../support/serve.ts'

const onlyReads = { readOnlyHint: true }
const annotated = JSON.stringify({ echo: onlyReads, add: onlyReads, secret: onlyReads, whoami: { readOnlyHint: false } })
const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'reader', version: '1' } } }

t.test('while nothing can be recorded, named tools that only read go on and are counted; everything else is refused', async (t) => {
  const { folder, shared } = openFolder(t)
  const gateway = await startGateway(t, {
    folder,
    yaml: {
      upstreams: { fixture: fixture({ shared, env: { ANNOTATED: annotated } }) },
      limits: [{ calls: 5, per: 'hour', by: ['user', 'tool'] }],
      audit: { max_outage: '1s', on_failure: { allow: ['fixture/echo', 'fixture/whoami', 'fixture/secret'] } },
    },
  })
  const token = await gateway.addUser('alice', ['user'])
  const session = { 'mcp-session-id': (await gateway.post('/mcp/fixture', token, initialize)).headers.get('mcp-session-id') ?? '' }
  const call = async (name: string, args: object = {}): Promise<{ status: number, body: { result?: { content: { text: string }[], isError?: boolean }, error?: { data?: { code?: string } } } }> => {
    const response = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } }, session)
    return { status: response.status, body: await response.json() as Awaited<ReturnType<typeof call>>['body'] }
  }
  t.match(await call('echo', { text: 'recorded before' }), { status: 200 })

  const resume = await stopRecording(gateway.database)
  await call('fail') // something that waits for the database
  await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 503, 20_000)
  for (const text of ['unseen 1', 'unseen 2', 'unseen 3']) t.match(await call('echo', { text }), { status: 200, body: { result: { content: [{ text }] } } })
  const unavailable = { status: 503, body: { error: { data: { code: 'PORTCULLIS_LEDGER_UNAVAILABLE' } } } }
  t.match(await call('whoami'), unavailable, 'named, but the server does not say that it only reads')
  t.match(await call('add', { a: 1, b: 2 }), unavailable, 'only reads, but is not named')
  t.match((await call('secret')).body, { error: { code: -32602 } }, 'named, but forbidden to this user')
  t.match((await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'resources/read', params: { uri: 'file:///note' } }, session)).status, 503, 'only tools can be named')
  t.match(await call('echo', { text: 'unseen 4' }), { status: 200 })
  t.match(await call('echo', { text: 'one too many' }), { body: { result: { isError: true } } }, 'limits hold all the same')
  const reached = gateway.calls().filter(({ method }) => method !== 'initialize').map(({ params }) => params?.['name'])
  for (const name of ['whoami', 'add', 'secret']) t.notOk(reached.includes(name), `${name} was not forwarded`)
  t.notOk(gateway.calls().some(({ method }) => method === 'resources/read'))
  t.notMatch(JSON.stringify(gateway.calls()), 'one too many')
  t.match(await (await fetch(gateway.metricsUrl)).text(), /portcullis_unrecorded_calls_total\{upstream="fixture"\} 4/)

  await resume()
  await until(async () => (await fetch(`${gateway.url}/readyz`)).ok, 20_000)
  t.match(await call('add', { a: 1, b: 2 }), { status: 200 })
  const rows = await gateway.rows()
  t.notMatch(JSON.stringify(rows), 'unseen', 'they have no record of their own')
  await until(async () => (await recordedGaps(gateway.database.db)).length > 0)
  const [gap, ...more] = await recordedGaps(gateway.database.db)
  t.match(gap, { calls: 4, since: /^\d{4}-/, until: /^\d{4}-/ })
  t.same(more, [])
  const { rows: [event] } = await gateway.database.pool.query<{ of: unknown }>("select body->'detail'->'of' as of from ledger.event where record = $1", [gap?.record])
  t.match(event?.of, [{ principal: 'alice', upstream: 'fixture', tool: 'echo', calls: 4 }], 'whose calls, and to what')
  t.ok(rows.some(({ tool, outcome }) => tool === 'add' && outcome === 'ok'), 'what came after is recorded as ever')

  let said = ''
  t.equal(await auditVerify({ database: gateway.database, out: (text) => { said += text }, config: { data: join(folder, 'data') } }, {}), 0, 'a gap that was allowed is no flaw')
  t.match(said, /^4 calls went on without a record of their own from .* as audit\.on_failure allows: portcullis audit show [\w-]+$/m, 'and an auditor is told')
})

t.test('calls that went on without a record are on it even if the gateway is killed meanwhile', async (t) => {
  const database = await testDatabase(t)
  const { folder, shared } = openFolder(t)
  const file = join(folder, 'upstreams.yaml')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const env = { DATABASE_URL: database.url, PORT: String(port), METRICS_PORT: String(await freePort()), PORTCULLIS_DATA: join(folder, 'data'), PORTCULLIS_ADMIN_PASSWORD: adminPassword, LOG_LEVEL: 'warn' }
  const start = async (more: object): Promise<ReturnType<typeof serve>> => {
    writeFileSync(file, stringify({ upstreams: { fixture: fixture({ shared, env: { ANNOTATED: annotated } }) }, roles: { admin: { allow: ['*/*'] } }, audit: { max_outage: '1s', ...more } }))
    const served = serve(t, ['--config', file], env)
    await ready(url, served)
    return served
  }
  const first = await start({ on_failure: { allow: ['fixture/echo'] } })
  const client = await connectAdmin(t, url, '/mcp/fixture')
  await client.callTool({ name: 'echo', arguments: { text: 'recorded' } })
  const resume = await stopRecording(database)
  await client.callTool({ name: 'echo', arguments: { text: 'in the spool' } })
  await until(async () => (await fetch(`${url}/readyz`)).status === 503, 20_000)
  for (const text of ['unseen 1', 'unseen 2']) t.match(await client.callTool({ name: 'echo', arguments: { text } }), { content: [{ text }] })
  first.process.kill('SIGKILL')
  await first.ended
  await resume()
  const ledger = join(folder, 'data', 'ledger')
  const [left = ''] = readdirSync(ledger).filter((name) => name.endsWith('.gap'))

  const second = await start({}) // the exemption is gone from the configuration, its consequences are not
  await until(async () => (await recordedGaps(database.db)).length > 0, 20_000)
  t.match(await recordedGaps(database.db), [{ calls: 2 }])
  const { rows: [event] } = await database.pool.query<{ detail: unknown, chain: string }>("select body->'detail' as detail, chain_id as chain from ledger.event where kind = 'gateway' and outcome = 'unknown'")
  t.match(event?.detail, { chain: left.replace('.gap', ''), of: [{ principal: 'admin', tool: 'echo', calls: 2 }] }, 'and in whose time it was')
  await until(() => !readdirSync(ledger).some((name) => name.endsWith('.gap')))
  t.match(second.said(), 'calls went on without a record in an earlier process')
})
