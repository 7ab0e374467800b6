import t from 'tap'
import type { Test } from 'tap'
import { fixture, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

interface Client { readonly token: string, readonly session: string }

const accept = 'text/event-stream, application/json'

async function start (t: Test): Promise<TestGateway> {
  const folder = t.testdir()
  return await startGateway(t, { folder, yaml: { upstreams: { fixture: fixture({ shared: `${folder}/shared`, timeouts: { call: '60s' } }) }, roles: { user: { allow: ['fixture/*'] } } } })
}

async function open (gateway: TestGateway, token: string, protocolVersion: string): Promise<Client> {
  const params = { protocolVersion, capabilities: {}, clientInfo: { name: 'raw', version: '1' } }
  const response = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 0, method: 'initialize', params })
  await response.text()
  return { token, session: response.headers.get('mcp-session-id') ?? '' }
}

/** Begins a call that takes longer than anybody likes to wait, so that its answer becomes a stream. */
async function call (gateway: TestGateway, { token, session }: Client, signal?: AbortSignal): Promise<Response> {
  return await fetch(`${gateway.url}/mcp/fixture`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, authorization: `Bearer ${token}`, 'mcp-session-id': session },
    body: JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'sleep', arguments: { ms: 3000 } } }),
    ...(signal === undefined ? {} : { signal }),
  })
}

async function takeUp (gateway: TestGateway, { token, session }: Client, lastEventId: string): Promise<Response> {
  return await fetch(`${gateway.url}/mcp/fixture`, { headers: { accept, authorization: `Bearer ${token}`, 'mcp-session-id': session, 'last-event-id': lastEventId } })
}

/** Reads the first event, leaves, and says its id. */
async function leaveEarly (gateway: TestGateway, client: Client): Promise<string> {
  const leaving = new AbortController()
  const response = await call(gateway, client, leaving.signal)
  const first = await response.body?.getReader().read()
  leaving.abort()
  return /^id: (\S+)$/m.exec(new TextDecoder().decode(first?.value))?.[1] ?? ''
}

t.test('28: the stream of a slow answer begins with a priming event for 2025-11-25, and with none before', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  for (const [version, begins] of [['2025-11-25', /^id: \S+_0\nretry: \d+\ndata: \n\n/], ['2025-06-18', /^id: \S+_1\nevent: message\ndata: \{/]] as const) {
    const response = await call(gateway, await open(gateway, token, version))
    t.match(response.headers.get('content-type'), 'text/event-stream', version)
    t.equal(response.headers.get('x-accel-buffering'), 'no')
    const text = await response.text()
    t.match(text, begins, version)
    t.match(text, /slept 3000/)
  }
})

t.test('29, 31: who lost the connection gets the answer from where it was, once', async (t) => {
  const gateway = await start(t)
  const client = await open(gateway, await gateway.addUser('alice', ['user']), '2025-11-25')
  const last = await leaveEarly(gateway, client)
  t.match(last, /_0$/)
  const rest = await (await takeUp(gateway, client, last)).text()
  t.equal(rest.match(/"id":7/g)?.length, 1)
  t.match(rest, /slept 3000/)
  const seen = /^id: (\S+)$/m.exec(rest)?.[1] ?? ''
  t.equal(await (await takeUp(gateway, client, seen)).text(), '', 'nothing comes after the answer')
  t.equal(gateway.calls().filter(({ method }) => method === 'notifications/cancelled').length, 0, 'and the upstream was not disturbed')
  t.same((await gateway.rows({ method: 'tools/call' })).map(({ outcome }) => outcome), ['ok'])
})

t.test('30: an event id of another session or principal gives nothing away', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const last = await leaveEarly(gateway, await open(gateway, token, '2025-11-25'))
  await until(async () => (await gateway.rows({ method: 'tools/call', outcome: 'ok' })).length === 1)
  for (const [name, other] of [['mallory', await gateway.addUser('mallory', ['user'])], ['the same user', token]] as const) {
    const client = await open(gateway, other, '2025-11-25')
    const response = await takeUp(gateway, client, last)
    t.equal(response.status, 200, 'as if the id had been made up')
    await fetch(`${gateway.url}/mcp/fixture`, { method: 'DELETE', headers: { authorization: `Bearer ${client.token}`, 'mcp-session-id': client.session } })
    t.equal(await response.text(), '', name)
  }
})
