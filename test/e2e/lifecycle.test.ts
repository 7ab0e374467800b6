import { chmodSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { fixture, fixtures, startGateway, until } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'

const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } } }
const call = (name: string, args: object = {}): object => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } })

interface Result { result?: { content: { text: string }[], isError?: boolean, _meta: Record<string, { code?: string }> } }

t.test('T51: limits survive a restart, and a new login after it', async (t) => {
  const database = await testDatabase(t)
  const yaml = { limits: [{ calls: 3, per: 'hour', by: ['user', 'tool'] }] }
  const first = await startGateway(t, { database, yaml })
  const token = await first.addUser('alice', ['user'])
  const client = await first.client('/mcp/fixture', token)
  for (let i = 0; i < 3; i++) t.notOk((await client.callTool({ name: 'echo', arguments: { text: `${i}` } })).isError)
  await first.gateway.close(0)

  const second = await startGateway(t, { database, yaml, folder: first.folder })
  const again = await second.client('/mcp', await second.login('alice', 'password of alice, long enough'))
  const refused = await again.callTool({ name: 'fixture__echo', arguments: { text: '4' } })
  t.match(refused, { isError: true, _meta: { 'portcullis/refusal': { code: 'PORTCULLIS_RATE_LIMITED', limit: 3 } } })
  t.match(await again.callTool({ name: 'fixture__sleep', arguments: { ms: 1 } }), { content: [{ text: 'slept 1' }] }, 'another tool has its own count')
})

t.test('a shutdown lets a call finish, says so meanwhile, and loses no record', async (t) => {
  const database = await testDatabase(t)
  const gateway = await startGateway(t, { database })
  const token = await gateway.addUser('alice', ['user'])
  const opened = await gateway.post('/mcp/fixture', token, initialize)
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '' }
  await gateway.post('/mcp/fixture', token, call('echo', { text: 'warm' }), session)
  const stream = await fetch(`${gateway.url}/mcp/fixture`, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...session } })
  const slow = gateway.post('/mcp/fixture', token, call('sleep', { ms: 600 }), session)
  await until(() => gateway.calls().some(({ params }) => params?.['name'] === 'sleep'))
  const closed = gateway.gateway.close(5_000)
  t.match(await (await slow).json(), { result: { content: [{ text: 'slept 600' }] } })
  t.equal(await stream.text(), 'retry: 1000\n\n', 'the open stream was ended, and its client knows when to come back')
  await closed
  await t.rejects(fetch(`${gateway.url}/livez`), 'nothing listens any more')
  const { rows } = await database.pool.query<{ outcome: string }>("select outcome from ledger.attempt where tool = 'sleep'")
  t.same(rows, [{ outcome: 'ok' }])
  const { rows: [last] } = await database.pool.query<{ detail: object }>("select detail from ledger.attempt where kind = 'gateway' order by time desc, seq desc limit 1")
  t.match(last, { detail: { event: 'stop' } })
})

t.test('the numbers tell what happened, to the scraper and to administrators only', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const client = await gateway.client('/mcp/fixture', token)
  await client.callTool({ name: 'echo', arguments: { text: 'x' } })
  await client.callTool({ name: 'fail', arguments: {} })
  await client.callTool({ name: 'nonesuch', arguments: {} }).catch(() => {})
  const scraped = await (await fetch(gateway.metricsUrl)).text()
  t.match(scraped, /portcullis_calls_total\{upstream="fixture",tool="echo",outcome="ok"\} 1/)
  t.match(scraped, /portcullis_calls_total\{upstream="fixture",tool="fail",outcome="error"\} 1/)
  t.match(scraped, /portcullis_calls_total\{upstream="_unknown",tool="_unknown",outcome="refused"\} 1/)
  t.notMatch(scraped, /nonesuch/, 'an invented name is no label')
  t.match(scraped, /portcullis_refusals_total\{code="PORTCULLIS_UNKNOWN_TARGET"\} 1/)
  t.match(scraped, /portcullis_instances\{upstream="fixture",state="ready"\} 1/)
  t.match(scraped, /portcullis_instance_rss_bytes\{upstream="fixture"\} [1-9]/)
  t.match(scraped, /portcullis_sessions 1/)
  t.match(scraped, /portcullis_database_up 1/)
  const main = (bearer: string | undefined): Promise<Response> => fetch(`${gateway.url}/metrics`, { headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` } })
  t.equal((await main(undefined)).status, 401)
  t.equal((await main(token)).status, 403)
  t.equal((await main(await gateway.login())).status, 200)
})

t.test('logins, users, tokens, the start and the configuration are on the record', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.login()
  await gateway.login('admin', 'not the right password').catch(() => {})
  await fetch(`${gateway.url}/auth/tokens`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify({ name: 'laptop' }) })
  await fetch(`${gateway.url}/auth/logout`, { method: 'POST', headers: { authorization: `Bearer ${token}` } })
  await gateway.post('/mcp', undefined, initialize)
  const rows = await gateway.rows()
  const seen = rows.map(({ kind, principal, outcome, code }) => [kind, principal, outcome, code].filter(Boolean).join(' '))
  for (const expected of ['user ok', 'config ok', 'gateway ok', 'login admin ok', 'login admin refused PORTCULLIS_BAD_CREDENTIALS', 'token admin ok', 'logout admin ok', 'refusal refused PORTCULLIS_UNAUTHENTICATED']) t.ok(seen.includes(expected), `${expected} in ${seen.join(', ')}`)
})

t.test('a body may come in pieces; one whose client leaves in the middle is on the record, and nothing else happens', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const body = JSON.stringify(initialize)
  async function * pieces (): AsyncGenerator<Uint8Array> {
    for (const piece of [body.slice(0, 1), body.slice(1, 40), body.slice(40)]) {
      await new Promise(setImmediate)
      yield Buffer.from(piece)
    }
  }
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
  const chunked = await fetch(`${gateway.url}/mcp/fixture`, { method: 'POST', headers, body: pieces(), duplex: 'half' } as RequestInit)
  t.equal(chunked.status, 200)
  t.ok(chunked.headers.get('mcp-session-id'))

  const { hostname, port } = new URL(gateway.url)
  const socket = connect(Number(port), hostname)
  socket.write(`POST /mcp/fixture HTTP/1.1\r\nHost: ${hostname}\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}Content-Length: ${body.length}\r\n\r\n${body.slice(0, 20)}`, () => socket.destroy())
  await until(async () => (await gateway.rows({ code: 'PORTCULLIS_INVALID_REQUEST' })).length === 1)
  t.equal((await gateway.rows({ code: 'PORTCULLIS_INTERNAL' })).length, 0)
})

t.test('T48: a body that never ends and one that is too large are cut off', async (t) => {
  const gateway = await startGateway(t, { yaml: { server: { max_body: '64KiB' } } })
  const token = await gateway.addUser('alice', ['user'])
  async function * endless (): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 1000; i++) yield Buffer.alloc(1024, 'x')
  }
  const response = await fetch(`${gateway.url}/mcp/fixture`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: endless(), duplex: 'half' } as RequestInit).catch(() => undefined)
  t.ok(response === undefined || response.status === 413)
  t.equal((await gateway.rows({ code: 'PORTCULLIS_BODY_TOO_LARGE' })).length, 1)
  const opened = await gateway.post('/mcp/fixture', token, initialize)
  const answer = await gateway.post('/mcp/fixture', token, call('echo', { text: 'still served' }), { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '' })
  t.match(await answer.json() as Result, { result: { content: [{ text: 'still served' }] } })
})

t.test('51: two first callers share one start; an idle instance is stopped and started again when it is needed', async (t) => {
  const folder = t.testdir({ shared: {} })
  const gateway = await startGateway(t, { folder, yaml: { upstreams: { fixture: fixture({ shared: join(folder, 'shared'), timeouts: { call: '2s', idle: '1s' } }) } } })
  chmodSync(join(folder, 'shared'), 0o777)
  const token = await gateway.addUser('alice', ['user'])
  const opened = await Promise.all([1, 2, 3].map(async () => await gateway.post('/mcp/fixture', token, initialize)))
  const session = { 'mcp-session-id': opened[0]?.headers.get('mcp-session-id') ?? '' }
  const starts = async (): Promise<number> => (await gateway.rows({ kind: 'upstream' })).filter(({ detail }) => (detail as { event: string }).event === 'start').length
  t.equal(await starts(), 1)
  await until(async () => !(await (await fetch(gateway.metricsUrl)).text()).includes('state="ready"} 1'))
  const again = await gateway.post('/mcp/fixture', token, call('echo', { text: 'back' }), session)
  t.match(await again.json() as Result, { result: { content: [{ text: 'back' }] } })
  t.equal(await starts(), 2)
})

t.test('an upstream that cannot start is refused with when to try again, and never blocks the others', async (t) => {
  const folder = t.testdir({ shared: {} })
  const broken = { command: ['node', join(fixtures, 'no-such-file.mjs')] }
  const silent = { command: ['node', '-e', 'setInterval(() => {}, 1000)'], timeouts: { start: '1s' } }
  const gateway = await startGateway(t, { folder, yaml: { upstreams: { fixture: fixture({ shared: join(folder, 'shared') }), broken, silent }, roles: { user: { allow: ['*/*'] } } } })
  const token = await gateway.addUser('alice', ['user'])
  for (const name of ['broken', 'silent']) {
    const refused = await (await gateway.post(`/mcp/${name}`, token, initialize)).json() as { error: { data: object } }
    t.match(refused.error, { code: 503, data: { code: 'PORTCULLIS_UPSTREAM_UNAVAILABLE', retryAfterMs: Number } }, name)
    t.notMatch(JSON.stringify(refused), /no-such-file|node:/, 'what went wrong is for the log')
  }
  t.match(gateway.log(), /no-such-file/)
  const client = await gateway.client('/mcp', token)
  t.ok((await client.listTools()).tools.every(({ name }) => name.startsWith('fixture__')))
  t.ok((await gateway.rows({ kind: 'upstream', outcome: 'error' })).length >= 2)
})
