import { connect } from 'node:net'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fixture, fixtures, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } } }
const modern = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} }
const rpc = (method: string, params: object = {}, id: unknown = 1): object => ({ jsonrpc: '2.0', id, method, params })
const call = (name: string, args: object = {}, id: unknown = 1): object => rpc('tools/call', { name, arguments: args }, id)

interface Body { id?: unknown, result?: Record<string, unknown> & { content?: { text: string }[] }, error?: { code: number, data: Record<string, unknown> } }

async function sessionOf (gateway: TestGateway, token: string, version = '2025-11-25', path = '/mcp/fixture'): Promise<Record<string, string>> {
  const response = await gateway.post(path, token, { ...initialize, params: { ...initialize.params, protocolVersion: version } })
  return { 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' }
}

async function bodyOf (response: Response): Promise<Body> {
  const text = await response.text()
  return JSON.parse(/^(event|id):/.test(text) ? text.split('data: ').at(-1) ?? '' : text) as Body
}

t.test('T35, 45, 47: nothing a child writes harms more than its own call', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await sessionOf(gateway, token)
  const stream = await fetch(`${gateway.url}/mcp/fixture`, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...session } })
  const lines = [
    '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":{"toString":1},"data":1}}',
    '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":{"toString":1}}}',
    '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$ID,"progress":$DEEP}}',
    '{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"x":$DEEP}}',
    `{"jsonrpc":"2.0","id":"${'x'.repeat(1000)}","method":"ping"}`,
  ]
  const one = await bodyOf(await gateway.post('/mcp/fixture', token, rpc('tools/call', { name: 'spout', arguments: { lines }, _meta: { progressToken: 1 } }), session))
  t.match(one.result, { content: [{ text: 'spouted' }] })
  const deep = await bodyOf(await gateway.post('/mcp/fixture', token, call('spout', { silent: true, lines: ['{"jsonrpc":"2.0","id":$ID,"x":1,"result":{"deep":$DEEP}}'] }), session))
  t.match(deep.result, { isError: true }, 'an answer that cannot be passed on fails at once')
  const cr = await (await gateway.post('/mcp/fixture', token, rpc('tools/call', { name: 'spout', arguments: { silent: true, lines: ['{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$ID,"progress":1}}', '{"jsonrpc":"2.0","id":$ID,"result":{\r"content":[]}}'] }, _meta: { progressToken: 1 } }), session)).text()
  t.notMatch(cr, /\r/, 'white space of JSON cannot break the framing of a stream')
  t.equal((await bodyOf(await gateway.post('/mcp/fixture', token, call('echo', { text: 'alive' }), session))).result?.content?.[0]?.text, 'alive')
  await stream.body?.cancel()
})

t.test('T47: a flood on stderr does not drown the log', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await sessionOf(gateway, token)
  await gateway.post('/mcp/fixture', token, call('babble', { lines: 50_000 }), session)
  await new Promise((resolve) => setTimeout(resolve, 1100))
  await gateway.post('/mcp/fixture', token, call('babble', { lines: 1 }), session)
  await until(() => gateway.log().includes('more lines were left out'))
  t.ok(gateway.log().split('babble').length < 500)
})

t.test('T58, T59: a server of the session era cannot speak for a later one', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'spout' }
  const lines = ['{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create"}},"content":[]}}']
  const response = await gateway.post('/mcp/fixture', token, rpc('tools/call', { name: 'spout', arguments: { silent: true, lines }, _meta: modern }), headers)
  const text = await response.text()
  t.equal(text.match(/resultType/g)?.length, 1)
  t.match(JSON.parse(text), { result: { resultType: 'complete' } })
})

t.test('what an upstream of the later era asks of an earlier client is an answer, never a hang or a form', async (t) => {
  const gateway = await startGateway(t, { yaml: { roles: { user: { allow: ['*/*'] } }, upstreams: { asking: { command: ['node', join(fixtures, 'asking.mjs')] } } } })
  const client = await gateway.client('/mcp/asking', await gateway.addUser('alice', ['user']))
  for (const name of ['ask', 'demand']) {
    const result = await client.callTool({ name, arguments: {} })
    t.match(result, { isError: true, _meta: { 'portcullis/refusal': { code: 'PORTCULLIS_NOT_BRIDGEABLE' } } }, name)
    t.notMatch(JSON.stringify(result), /password/)
  }
  t.same((await gateway.rows({ method: 'tools/call' })).map(({ code }) => code), Array(2).fill('PORTCULLIS_NOT_BRIDGEABLE'))
})

t.test('T29: what is asked by completion is guarded, recorded and policed like everything else', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await sessionOf(gateway, token)
  const complete = (value: string): object => rpc('completion/complete', { ref: { type: 'ref/prompt', name: 'greeting' }, argument: { name: 'who', value }, hidden: 'rm -rf /' })
  await gateway.post('/mcp/fixture', token, complete('rm -rf /'), session)
  await gateway.post('/mcp/fixture', token, rpc('prompts/get', { name: 'greeting', arguments: { who: '169.254.169.254' } }), session)
  await gateway.post('/mcp/fixture', token, rpc('resources/read', { uri: 'memo://../../etc/shadow' }), session)
  t.equal((await gateway.rows({ code: 'PORTCULLIS_BLOCKED' })).length, 3)
  t.notOk(gateway.calls().some(({ method }) => ['completion/complete', 'prompts/get', 'resources/read'].includes(method)))
  const uri = `memo://${'a/'.repeat(300)}end`
  await gateway.post('/mcp/fixture', token, rpc('resources/read', { uri }), session)
  t.match((await gateway.rows({ method: 'resources/read', outcome: 'ok' }))[0], { arguments: { uri }, digest: /^sha256:/ }, 'a long URI is on the record whole')
  await gateway.post('/mcp/fixture', token, rpc('tools/call', { name: 'echo', arguments: { text: 'x' }, smuggled: 'rm -rf /' }), session)
  t.notMatch(JSON.stringify(gateway.calls().at(-1)), /smuggled/, 'a member that no check looks at is not passed on')
})

t.test('T30: a session has no alias when it has ended, and is nobody else\'s while it lasts', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await sessionOf(gateway, token)
  const bob = await gateway.addUser('bob', ['user'])
  const before = gateway.calls().length
  const [foreign, invented] = await Promise.all([session['mcp-session-id'] ?? '', 'made-up'].map(async (id) => {
    const response = await gateway.post('/mcp/fixture', bob, rpc('tools/call', { name: 'echo', arguments: { text: 'x' } }), { 'mcp-session-id': id })
    return `${response.status} ${(await response.text()).replace(/"record":"[^"]+"/, '')}`
  }))
  t.match(foreign, /^404 /)
  t.equal(foreign, invented, 'one of somebody else looks like one that never was')
  t.equal(gateway.calls().length, before, 'the upstream was not contacted')
  await fetch(`${gateway.url}/mcp/fixture`, { method: 'DELETE', headers: { authorization: `Bearer ${token}`, ...session } })
  for (const id of [session['mcp-session-id'], `${session['mcp-session-id']}.x`, `${session['mcp-session-id']}.`]) {
    t.equal((await gateway.post('/mcp/fixture', token, rpc('ping'), { 'mcp-session-id': id ?? '' })).status, 404)
  }
})

t.test('a batch with a number that cannot be carried is answered, and recorded', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await sessionOf(gateway, token, '2025-03-26')
  const response = await gateway.post('/mcp/fixture', token, `[${JSON.stringify(call('echo', { text: 'x' }))},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add","arguments":{"a":0.5,"b":1}}}]`, session)
  t.equal(response.status, 400)
  t.equal((await gateway.rows({ code: 'PORTCULLIS_INVALID_REQUEST' })).length, 1)
})

t.test('39: a call can be cancelled whatever notifications came before', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await sessionOf(gateway, token)
  const hanging = gateway.post('/mcp/fixture', token, call('hang', {}, 7), session)
  await until(() => gateway.calls().some(({ params }) => params?.['name'] === 'hang'))
  await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', method: 'notifications/initialized' }, session)
  await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 7 } }, session)
  t.match(await bodyOf(await hanging), { id: 7, error: { data: { code: 'PORTCULLIS_CANCELLED' } } })
})

t.test('T49: a template of braces does not hold anybody up', async (t) => {
  const folder = t.testdir()
  const gateway = await startGateway(t, { folder, yaml: { upstreams: { fixture: fixture({ shared: join(folder, 'shared'), env: { BRACES: '1' } }) } } })
  const token = await gateway.addUser('alice', ['user'])
  const session = await sessionOf(gateway, token, '2025-11-25', '/mcp')
  t.match(await bodyOf(await gateway.post('/mcp', token, rpc('resources/read', { uri: 'memo://nowhere' }), session)), { error: { code: -32602 } })
})

t.test('50: an upstream that fails once is not taken for one of the other era', async (t) => {
  const folder = t.testdir({ shared: {} })
  const gateway = await startGateway(t, { folder, yaml: { roles: { admin: { allow: ['*/*'] } }, upstreams: { moody: { command: ['node', join(fixtures, 'moody.mjs')], sandbox: { read: [`${join(folder, 'shared')}:/shared`] } } } } })
  const token = await gateway.addUser('alice', ['admin'])
  t.equal((await gateway.post('/mcp/moody', token, initialize)).status, 200, 'the answer to a legacy client is in-band')
  writeFileSync(join(folder, 'shared', 'well'), '')
  await until(async () => (await bodyOf(await gateway.post('/mcp/moody', token, initialize))).result !== undefined, 20_000)
  t.pass('it was tried again in the era it speaks')
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' }
  await until(async () => (await bodyOf(await gateway.post('/mcp/moody', token, rpc('tools/list', { _meta: modern }), headers))).result !== undefined, 20_000)
  t.pass('and one that exits on server/discover serves a modern client too')
})

t.test('50: one that is silent on server/discover is asked in the session era, in a process that was never probed', async (t) => {
  const folder = t.testdir({ shared: { well: '' } })
  const shared = join(folder, 'shared')
  chmodSync(shared, 0o777)
  const silent = { command: ['node', join(fixtures, 'moody.mjs')], env: { SILENT: '/shared/asked' }, sandbox: { write: [`${shared}:/shared`] }, timeouts: { start: '3s' } }
  const gateway = await startGateway(t, { folder, yaml: { roles: { admin: { allow: ['*/*'] } }, upstreams: { silent } } })
  const token = await gateway.addUser('alice', ['admin'])
  const list = async (): Promise<Body> => await bodyOf(await gateway.post('/mcp/silent', token, rpc('tools/list', { _meta: modern }), { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' }))
  const asked = (): string[][] => readFileSync(join(shared, 'asked'), 'utf8').trim().split('\n').map((line) => line.split(' '))
  await until(async () => (await list()).result !== undefined, 60_000)
  const probed = asked().filter(([, method]) => method === 'server/discover').map(([run]) => run)
  t.ok(probed.length > 0, 'it was probed')
  t.notOk(asked().some(([run, method]) => method === 'initialize' && probed.includes(run)), 'and initialized in another process')
  const before = asked().filter(([, method]) => method === 'server/discover').length
  t.match(await list(), { result: { tools: [{ name: 'nap' }] } })
  t.equal(asked().filter(([, method]) => method === 'server/discover').length, before, 'its era is known from then on')
})

t.test('T18: disabling a user ends what is only starting', async (t) => {
  const folder = t.testdir({ shared: {} })
  const gateway = await startGateway(t, { folder, yaml: { roles: { admin: { allow: ['*/*'] } }, upstreams: { slow: { command: ['node', join(fixtures, 'moody.mjs')], env: { SLOW: '1500' }, sandbox: { read: [`${join(folder, 'shared')}:/shared`] } } } } })
  writeFileSync(join(folder, 'shared', 'well'), '')
  const token = await gateway.addUser('alice', ['admin'])
  const starting = gateway.post('/mcp/slow', token, initialize)
  await until(async () => (await (await fetch(gateway.metricsUrl)).text()).includes('state="starting"} 1'))
  await gateway.disableUser('alice')
  t.notMatch(await bodyOf(await starting), { result: { serverInfo: {} } })
  await until(async () => !/portcullis_instances\{.*\} [1-9]/.test(await (await fetch(gateway.metricsUrl)).text()))
  t.ok(existsSync(folder))
})

t.test('T18: disabling a user while one era is being refused starts nothing in the other', async (t) => {
  const folder = t.testdir({ shared: {} })
  const shared = join(folder, 'shared')
  const held = { command: ['node', join(fixtures, 'moody.mjs')], env: { HOLD: '/shared/go' }, sandbox: { read: [`${shared}:/shared`] } }
  const gateway = await startGateway(t, { folder, yaml: { roles: { admin: { allow: ['*/*'] } }, upstreams: { fixture: fixture({ shared }), held } } })
  const token = await gateway.addUser('alice', ['admin'])
  await sessionOf(gateway, token)
  const starting = gateway.post('/mcp/held', token, rpc('tools/list', { _meta: modern }), { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' })
  await until(async () => (await (await fetch(gateway.metricsUrl)).text()).includes('upstream="held",state="starting"} 1'))
  await gateway.disableUser('alice')
  await until(() => gateway.log().includes('"upstream stopped"')) // that of the fixture: what alice has is ended
  for (const name of ['well', 'go']) writeFileSync(join(shared, name), '')
  t.notMatch(await bodyOf(await starting), { result: {} })
  t.notMatch(gateway.log(), /"upstream":"held"[^\n]*"upstream started"/)
  t.notMatch(await (await fetch(gateway.metricsUrl)).text(), /portcullis_instances\{.*\} [1-9]/, 'nothing is left, and nothing comes up')
})

t.test('a shutdown does not wait for half a request', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`POST /mcp/fixture HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"half"`)
  await until(() => socket.bytesWritten > 0)
  let over = false
  const closed = gateway.gateway.close(0).then(() => { over = true })
  await until(() => over, 8_000)
  await closed
  socket.destroy()
  t.pass('closed')
})
