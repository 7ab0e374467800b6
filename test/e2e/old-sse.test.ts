import { join } from 'node:path'
import { Client } from 'sdk-1-10/client/index.js'
import { SSEClientTransport } from 'sdk-1-10/client/sse.js'
import { ToolListChangedNotificationSchema } from 'sdk-1-10/types.js'
import t from 'tap'
import type { Test } from 'tap'
import { Client as AskedClient } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport as AskedTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { fixtures, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const textOf = (result: unknown): string => (result as { content: { text: string }[] }).content[0]?.text ?? ''

/** How a client of the SDK shows its token on both of its ways. */
function access (token: string): { requestInit: RequestInit, eventSourceInit: { fetch: (url: string | URL, init?: object) => Promise<Response> } } {
  const headers = { authorization: `Bearer ${token}` }
  return { requestInit: { headers }, eventSourceInit: { fetch: async (url, init: RequestInit = {}) => await fetch(url, { ...init, headers: { ...init.headers as Record<string, string>, ...headers } }) } }
}

/** A client of SDK 1.10, which knows HTTP+SSE and nothing newer here. */
async function oldClient (t: Test, gateway: TestGateway, path: string, token: string): Promise<Client> {
  const client = new Client({ name: 'old', version: '1.10.2' }, { capabilities: {} })
  await client.connect(new SSEClientTransport(new URL(gateway.url + path), access(token)))
  t.teardown(() => client.close())
  return client
}

interface Stream { readonly status: number, readonly post: string, events (): string, close (): void }

/** The same by hand. */
async function openStream (t: Test, gateway: TestGateway, path: string, token: string): Promise<Stream> {
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const response = await fetch(gateway.url + path, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' }, signal: abort.signal })
  if (response.status !== 200) return { status: response.status, post: '', events: () => '', close: () => abort.abort() }
  let text = ''
  const read = async (): Promise<void> => { for await (const chunk of response.body ?? []) text += Buffer.from(chunk as Uint8Array).toString() }
  read().catch(() => { text += '[end]' })
  await until(() => text.includes('\n\n'))
  return { status: 200, post: /^event: endpoint\ndata: (\S+)\n/.exec(text)?.[1] ?? '', events: () => text, close: () => abort.abort() }
}

const initialize = { jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'raw', version: '1' } } }

/** A stream on which a session has begun, and where its messages go. */
async function openSession (t: Test, gateway: TestGateway, token: string): Promise<{ stream: Stream, path: string }> {
  const stream = await openStream(t, gateway, '/sse/fixture', token)
  const path = `/sse/${stream.post}`
  await gateway.post(path, token, initialize)
  await until(() => stream.events().includes('"id":0,"result"'), 20_000)
  return { stream, path }
}

t.test('35: a client of 2024-11-05 uses what all others use, on the same pipeline', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  for (const path of ['/sse', '/sse/fixture']) {
    const prefix = path === '/sse' ? 'fixture__' : ''
    const client = await oldClient(t, gateway, path, token)
    t.ok((await client.listTools()).tools.some(({ name }) => name === `${prefix}echo`), path)
    t.equal(textOf(await client.callTool({ name: `${prefix}echo`, arguments: { text: 'over sse' } })), 'over sse')
    await t.rejects(client.callTool({ name: `${prefix}secret`, arguments: {} }), /Unknown tool/, 'what is denied is denied here too')
    t.match(await client.callTool({ name: `${prefix}add`, arguments: { a: 1, b: 'x' } }), { isError: true })
    t.match(await client.readResource({ uri: 'memo://one' }), { contents: [{ text: 'first' }] })
    let changed = 0
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => { changed++ })
    await client.callTool({ name: `${prefix}grow`, arguments: {} })
    await until(() => changed > 0)
  }
  const rows = await gateway.rows({ client: 'old/1.10.2', tool: 'echo' })
  t.equal(rows.length, 2)
  t.match(rows[0], { outcome: 'ok', principal: 'alice', decision: 'allow' })
  t.equal(gateway.calls().filter(({ method, params }) => method === 'tools/call' && params['name'] === 'secret').length, 0)
})

t.test('35: the address for messages is unguessable, relative, and of its own principal and stream', async (t) => {
  const gateway = await startGateway(t)
  const [alice, mallory] = [await gateway.addUser('alice', ['user']), await gateway.addUser('mallory', ['user'])]
  const stream = await openStream(t, gateway, '/sse/fixture', alice)
  t.match(stream.post, /^fixture\?sessionId=[\w-]{32}$/)
  t.equal(new URL(stream.post, 'https://mcp.example.com/behind/a/proxy/sse/fixture').pathname, '/behind/a/proxy/sse/fixture', 'it follows the prefix of a reverse proxy')
  const path = `/sse/${stream.post}`
  t.equal((await gateway.post(path, undefined, initialize)).status, 401)
  t.equal((await gateway.post(path, mallory, initialize)).status, 404, 'somebody else cannot post to it')
  t.equal((await gateway.post(path.replace('/sse/fixture', '/sse'), alice, initialize)).status, 404, 'nor is it good for another endpoint')
  t.equal((await gateway.post('/sse/fixture', alice, initialize)).status, 400, 'without one, clients learn what to do')
  t.equal((await gateway.post('/sse/fixture?sessionId=x', alice, initialize)).status, 404)
  t.same(gateway.calls(), [], 'nothing of that reached the upstream')
  t.equal((await gateway.post(path, alice, '{"jsonrpc":')).status, 400)
  const accepted = await gateway.post(path, alice, initialize)
  t.equal(accepted.status, 202)
  await until(() => stream.events().includes('"protocolVersion":"2024-11-05"'))
  t.equal((await gateway.post(path, alice, { jsonrpc: '2.0', id: 1, method: 'tools/list' }, { 'mcp-session-id': 'made-up', 'mcp-protocol-version': '2026-07-28' })).status, 202)
  await until(() => stream.events().includes('"id":1,"result"'), 20_000)
  await gateway.post(path, alice, { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'progress', arguments: {}, _meta: { progressToken: 'mine' } } })
  await until(() => stream.events().includes('"id":2,"result"'))
  t.equal(stream.events().split('"progressToken":"mine"').length - 1, 3, 'progress comes on the stream, under the client\'s own token')
  stream.close()
  await until(async () => (await gateway.post(path, alice, initialize)).status === 404)
  t.equal((await openStream(t, gateway, '/sse/absent', alice)).status, 404)
})

t.test('35: who hangs up wants nothing any more: its calls are cancelled, its session is over', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const { stream, path } = await openSession(t, gateway, token)
  await gateway.post(path, token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'hang', arguments: {} } })
  await until(() => gateway.calls().some(({ params }) => params?.['name'] === 'hang'))
  stream.close()
  await until(() => gateway.calls().some(({ method }) => method === 'notifications/cancelled'))
  await until(async () => (await gateway.rows({ tool: 'hang', outcome: 'cancelled' })).length === 1)
  t.pass('the upstream was told')
})

t.test('an upstream\'s question reaches a client on its stream', async (t) => {
  const gateway = await startGateway(t, { yaml: { upstreams: { curious: { command: ['node', join(fixtures, 'curious.mjs')] } }, roles: { user: { allow: ['curious/*'] } } } })
  const token = await gateway.addUser('alice', ['user'])
  const client = new AskedClient({ name: 'v1', version: '1.0.0' }, { capabilities: { elicitation: {} } })
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept' as const, content: { colour: 'green' } }))
  await client.connect(new AskedTransport(new URL(`${gateway.url}/sse/curious`), access(token)) as Transport)
  t.teardown(() => client.close())
  t.match(textOf(await client.callTool({ name: 'paint', arguments: { what: 'wall' } })), /wall is green/)
})

t.test('36: a shutdown lets calls finish on the stream, and then ends it', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const { stream, path } = await openSession(t, gateway, token)
  await gateway.post(path, token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'sleep', arguments: { ms: 1000 } } })
  await until(() => gateway.calls().some(({ params }) => params?.['name'] === 'sleep'))
  await gateway.gateway.close(20_000)
  t.match(stream.events(), /slept 1000/)
})
