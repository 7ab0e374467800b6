import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { fixture, fixtures, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { envelope, modernHeaders, modernTool, openSession, read, rpc, tool } from '../support/wire.ts'
import type { Wire } from '../support/wire.ts'

type Session = Readonly<Record<string, string>>
interface Person { readonly token: string, readonly session: Session }

const limits = [{ calls: 100_000, per: 'hour', by: ['user', 'tool'] }]

async function people (gateway: TestGateway, ...names: string[]): Promise<Person[]> {
  return await Promise.all(names.map(async (name) => {
    const token = await gateway.addUser(name, ['user'])
    return { token, session: await openSession(gateway, token) }
  }))
}

/** A session's GET stream, or a listen: everything that was said on it so far. */
async function overhear (t: Test, gateway: TestGateway, { token, session }: Person, listen?: object): Promise<() => string> {
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
  const { body } = await fetch(`${gateway.url}/mcp/fixture`, listen === undefined
    ? { headers: { ...headers, ...session }, signal: abort.signal }
    : { method: 'POST', headers: { ...headers, ...modernHeaders('subscriptions/listen') }, body: JSON.stringify(rpc('subscriptions/listen', { notifications: listen, _meta: envelope })), signal: abort.signal })
  let said = ''
  const gather = async (): Promise<void> => { for await (const chunk of body ?? []) said += Buffer.from(chunk as Uint8Array).toString() }
  gather().catch(() => {})
  return () => said
}

const called = async (gateway: TestGateway, { token, session }: Person, body: object): Promise<Wire> => await read(await gateway.post('/mcp/fixture', token, body, { ...session }))
const textOf = ({ body }: Wire): string | undefined => body.result?.content?.[0]?.text

t.test('15: ids of every kind are distinct while they are in use, and come back as they were', async (t) => {
  const gateway = await startGateway(t)
  const [alice] = await people(gateway, 'alice') as [Person]
  const ids = [0, '0', '', 1, '1', -1]
  const answers = await Promise.all(ids.map(async (id) => await called(gateway, alice, tool('echo', { text: `${typeof id} ${id}` }, id))))
  t.strictSame(answers.map(({ body }) => body.id), ids)
  t.same(answers.map(textOf), ids.map((id) => `${typeof id} ${id}`))
})

t.test('16, 37, 43, T34: in one process for everybody, whoever calls with the same id and token hears their own and no one else\'s', async (t) => {
  const folder = t.testdir()
  const gateway = await startGateway(t, { folder, yaml: { limits, upstreams: { fixture: fixture({ shared: join(folder, 'shared'), isolation: 'shared', timeouts: { call: '20s' } }) } } })
  const both = await people(gateway, 'alice', 'bob') as [Person, Person]
  const streams = await Promise.all(both.map(async (person) => await overhear(t, gateway, person)))
  const calls = await Promise.all(Array.from({ length: 100 }, async (_, at) => {
    const person = both[at % 2] as Person
    await called(gateway, person, tool('log'))
    const [echo, progress] = await Promise.all([called(gateway, person, tool('echo', { text: `text ${at}` })), called(gateway, person, rpc('tools/call', { name: 'progress', arguments: {}, _meta: { progressToken: 'p' } }))])
    return [textOf(echo), progress.text.match(/"progress":\d+/g)]
  }))
  t.same(calls, Array.from({ length: 100 }, (_, at) => [`text ${at}`, ['"progress":1', '"progress":2', '"progress":3']]))
  for (const said of streams) t.notMatch(said(), /data: /, 'nobody can say whose log lines those are, so nobody hears them')
})

t.test('43, T34: what a user\'s own process logs reaches that user and nobody else', async (t) => {
  const gateway = await startGateway(t, { yaml: { limits } })
  const [alice, bob] = await people(gateway, 'alice', 'bob') as [Person, Person]
  const [hers, his] = await Promise.all([alice, bob].map(async (person) => await overhear(t, gateway, person))) as [() => string, () => string]
  const logged = (said: () => string): number => said().split('notifications/message').length - 1
  for (let i = 0; i < 3; i++) await called(gateway, alice, tool('log'))
  await called(gateway, bob, tool('log'))
  await until(() => logged(hers) >= 3 && logged(his) >= 1)
  t.same([logged(hers), logged(his)], [3, 1])
})

t.test('63: a call that asked for log messages hears them, whether a session of the same user is open or not', async (t) => {
  const gateway = await startGateway(t, { yaml: { limits } })
  const [alice] = await people(gateway, 'alice') as [Person]
  const hers = await overhear(t, gateway, alice)
  const [body, headers] = modernTool('log', {}, { 'io.modelcontextprotocol/logLevel': 'info' })
  t.match((await read(await gateway.post('/mcp/fixture', alice.token, body, headers))).text, /notifications\/message/)
  await until(() => hers().includes('notifications/message'))
  const [mute, more] = modernTool('log')
  t.notMatch((await read(await gateway.post('/mcp/fixture', alice.token, mute, more))).text, /notifications\/message/)
  t.notMatch((await called(gateway, alice, tool('log'))).text, /notifications\/message/, '31: a session hears them on its own stream, and not twice')
})

t.test('31: an answer comes on the stream of its request, and never on the session\'s own', async (t) => {
  const gateway = await startGateway(t)
  const [alice] = await people(gateway, 'alice') as [Person]
  const stream = await overhear(t, gateway, alice)
  const slow = await called(gateway, alice, tool('sleep', { ms: 900 }, 'slow'))
  t.match(slow, { type: 'text/event-stream', body: { id: 'slow', result: { content: [{ text: 'slept 900' }] } } })
  await called(gateway, alice, tool('grow'))
  await until(() => stream().includes('tools/list_changed'))
  t.notMatch(stream(), /"result"|slept/)
})

t.test('39: nobody cancels a call from another session, whoever it belongs to', async (t) => {
  const gateway = await startGateway(t)
  const [alice, mallory] = await people(gateway, 'alice', 'mallory') as [Person, Person]
  const other = { token: alice.token, session: await openSession(gateway, alice.token) }
  const slow = called(gateway, alice, tool('sleep', { ms: 1000 }, 7))
  await until(() => gateway.calls().some(({ params }) => params?.['name'] === 'sleep'))
  for (const person of [other, mallory]) t.equal((await called(gateway, person, { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 7 } })).status, 202)
  t.equal(textOf(await slow), 'slept 1000')
  t.notOk(gateway.calls().some(({ method }) => method === 'notifications/cancelled'))
})

t.test('51: a server may take longer to start than a call may take, and is started once for all who wait', async (t) => {
  const folder = t.testdir({ shared: { well: '' } })
  const shared = join(folder, 'shared')
  chmodSync(shared, 0o777)
  writeFileSync(join(shared, 'asked'), '', { mode: 0o666 })
  chmodSync(join(shared, 'asked'), 0o666)
  const slow = { command: ['node', join(fixtures, 'moody.mjs')], env: { SLOW: '2500', SILENT: '/shared/asked' }, sandbox: { write: [`${shared}:/shared`] }, timeouts: { start: '30s', call: '1s' } }
  const gateway = await startGateway(t, { folder, yaml: { roles: { user: { allow: ['*/*'] } }, upstreams: { slow } } })
  const token = await gateway.addUser('alice', ['user'])
  const hello = rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } })
  const answers = await Promise.all([1, 2, 3].map(async () => await read(await gateway.post('/mcp/slow', token, hello))))
  for (const { body } of answers) t.match(body.result, { serverInfo: { name: 'moody' } })
  t.equal((await gateway.rows({ kind: 'upstream' })).filter(({ detail }) => (detail as { event: string }).event === 'start').length, 1)
})

const ask = JSON.stringify({ jsonrpc: '2.0', id: 'q', method: 'elicitation/create', params: { message: 'Colour?', requestedSchema: { type: 'object', properties: { colour: { type: 'string' } } } } })

t.test('56: where a client lacks what a server needs of it, the server is told that the call is over', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const refused = await read(await gateway.post('/mcp/fixture', token, ...modernTool('spout', { lines: [ask], silent: true })))
  t.match(refused, { status: 400, body: { error: { code: -32021, data: { requiredCapabilities: { elicitation: { form: {} } } } } } })
  await until(() => gateway.calls().some(({ method }) => method === 'notifications/cancelled'))
  t.pass('it was')
})

/** The fixture answers a call with the error that says which URLs have to be visited first. */
async function sentTo (gateway: TestGateway, token: string, urls: readonly string[], { version = '2025-11-25', path = '/mcp/fixture', capabilities = { elicitation: { url: {} } } as object } = {}): Promise<unknown> {
  const elicitations = urls.map((url, at) => ({ mode: 'url', message: `Link ${at}`, elicitationId: `e${at}`, url }))
  const lines = [`{"jsonrpc":"2.0","id":$ID,"error":{"code":-32042,"message":"Visit it","data":${JSON.stringify({ elicitations, more: 'x' })}}}`]
  const session = await openSession(gateway, token, version, path, capabilities)
  return (await read(await gateway.post(path, token, tool(path === '/mcp' ? 'fixture__spout' : 'spout', { lines, silent: true }), session))).body.error
}

t.test('58: that a URL has to be visited first passes to 2025-11-25, and is a plain error before', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  t.match(await sentTo(gateway, token, ['https://example.com/']), { code: -32042, message: 'Visit it', data: { elicitations: [{ url: 'https://example.com/', message: 'Link 0', elicitationId: 'e0' }] } })
  t.match(await sentTo(gateway, token, ['https://example.com/'], { path: '/mcp' }), { code: -32042, data: { elicitations: [{ message: '[fixture] Link 0' }] } }, 'the person reads who asks')
  const plain = await sentTo(gateway, token, ['https://example.com/'], { version: '2025-06-18' })
  t.match(plain, { code: -32603, message: 'Visit it' })
  t.notMatch(JSON.stringify(plain), /elicitations/)
  t.equal((await gateway.rows({ kind: 'ask', tool: 'spout' })).length, 2, 'each is on the record')
})

t.test('58, T40: URLs that no question may hold reach nobody, nor do any where the client or the operator does not want them', async (t) => {
  const bad = ['javascript:alert(1)', 'file:///etc/passwd', 'https://user:secret@example.com/', 'http://example.com/']
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const some = await sentTo(gateway, token, [...bad, 'https://example.com/'])
  t.match(some, { code: -32042 })
  t.strictSame((some as { data: { elicitations: { url: string }[] } }).data.elicitations.map(({ url }) => url), ['https://example.com/'])
  const none = [await sentTo(gateway, token, bad), await sentTo(gateway, token, ['https://example.com/'], { capabilities: {} })]
  const folder = t.testdir()
  const strict = await startGateway(t, { folder, yaml: { upstreams: { fixture: fixture({ shared: join(folder, 'shared'), asks: [] }) } } })
  none.push(await sentTo(strict, await strict.addUser('alice', ['user']), ['https://example.com/']))
  for (const error of none) {
    t.match(error, { code: -32603, message: 'Visit it' })
    t.notMatch(JSON.stringify(error), /elicitations|example|javascript/)
  }
  const asked = await gateway.rows({ kind: 'ask', tool: 'spout' })
  t.equal(asked.filter(({ decision }) => decision === 'deny').length, 9)
  t.equal(asked.filter(({ decision }) => decision === 'allow').length, 1)
})

t.test('64: a listen hears what it asked for and nothing else', async (t) => {
  const gateway = await startGateway(t)
  const [alice] = await people(gateway, 'alice') as [Person]
  const [tools, resources] = [await overhear(t, gateway, alice, { toolsListChanged: true }), await overhear(t, gateway, alice, { resourceSubscriptions: ['memo://one'] })]
  await until(() => resources().includes('resources/updated'))
  await called(gateway, alice, tool('grow'))
  await until(() => tools().includes('tools/list_changed'))
  t.notMatch(tools(), /resources\/updated/)
  t.notMatch(resources(), /list_changed/)
})
