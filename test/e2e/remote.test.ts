import { randomUUID } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, RequestListener, Server as HttpServer, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { McpServer as ModernServer, createMcpHandler } from '@modelcontextprotocol/server'
import t from 'tap'
import type { Test } from 'tap'
import { z } from 'zod'
import { startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const textOf = (result: unknown): string => (result as { content: { text: string }[] }).content[0]?.text ?? ''

interface Remote { readonly url: string, readonly seen: IncomingMessage[], readonly server: HttpServer }

async function listen (t: Test, handler: RequestListener): Promise<Remote> {
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    seen.push(request)
    handler(request, response)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, server }
}

/** A server of the session era on the official SDK v1 that can ask, report progress and change its list. */
function legacyServer (): McpServer {
  const server = new McpServer({ name: 'remote-legacy', version: '1.0.0' })
  server.registerTool('echo', { inputSchema: { text: z.string() } }, ({ text }) => ({ content: [{ type: 'text', text }] }))
  server.registerTool('ask', { inputSchema: {} }, async () => {
    const { content } = await server.server.elicitInput({ mode: 'form', message: 'Colour?', requestedSchema: { type: 'object', properties: { colour: { type: 'string' } } } })
    return { content: [{ type: 'text', text: String(content?.['colour']) }] }
  })
  server.registerTool('hang', { inputSchema: {} }, async () => await new Promise(() => {}))
  server.registerTool('big', { inputSchema: { bytes: z.number() } }, ({ bytes }) => ({ content: [{ type: 'text', text: 'x'.repeat(bytes) }] }))
  server.registerTool('grow', { inputSchema: {} }, () => {
    server.registerTool('grown', { inputSchema: {} }, () => ({ content: [{ type: 'text', text: 'grown' }] }))
    return { content: [{ type: 'text', text: 'ok' }] }
  })
  return server
}

async function streamable (t: Test): Promise<Remote & { forget (): void }> {
  const transports = new Map<string, StreamableHTTPServerTransport>()
  const remote = await listen(t, (request, response) => { void handle(request, response) })
  return { ...remote, forget: () => transports.clear() }

  async function handle (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const id = request.headers['mcp-session-id']
    const known = typeof id === 'string' ? transports.get(id) : undefined
    if (typeof id === 'string' && known === undefined) {
      response.writeHead(404).end()
      return
    }
    const transport = known ?? new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (session) => { transports.set(session, transport) } })
    if (known === undefined) await legacyServer().connect(transport as Transport)
    await transport.handleRequest(request, response)
  }
}

async function oldSse (t: Test): Promise<Remote> {
  const transports = new Map<string, SSEServerTransport>()
  return await listen(t, (request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost')
    if (request.method === 'GET') {
      const transport = new SSEServerTransport('/messages', response)
      transports.set(transport.sessionId, transport)
      void legacyServer().connect(transport)
    } else if (url.pathname === '/messages') void transports.get(url.searchParams.get('sessionId') ?? '')?.handlePostMessage(request, response)
    else response.writeHead(405).end()
  })
}

async function modern (t: Test): Promise<Remote> {
  const handler = createMcpHandler(() => {
    const server = new ModernServer({ name: 'remote-modern', version: '2.0.0' })
    server.registerTool('echo', { inputSchema: z.object({ text: z.string() }) }, async ({ text }) => ({ content: [{ type: 'text', text }] }))
    server.registerTool('route', { inputSchema: z.object({ region: z.string().meta({ 'x-mcp-header': 'Region' }) }) }, async ({ region }) => ({ content: [{ type: 'text', text: region }] }))
    return server
  }, { legacy: 'reject' })
  return await listen(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)])
      void handler.fetch(new Request(`http://localhost${request.url}`, { method: request.method ?? 'GET', headers, ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }) })).then(async (answer: Response) => {
        response.writeHead(answer.status, Object.fromEntries(answer.headers))
        if (answer.body !== null) for await (const chunk of answer.body) response.write(chunk)
        response.end()
      })
    })
  })
}

async function start (t: Test, upstreams: Record<string, object>): Promise<TestGateway> {
  const folder = t.testdir({ data: { secrets: {} } })
  mkdirSync(join(folder, 'data', 'secrets'), { recursive: true, mode: 0o700 })
  writeFileSync(join(folder, 'data', 'secrets', 'remote'), 'own-credential\n', { mode: 0o600 })
  return await startGateway(t, { folder, yaml: { upstreams, roles: { user: { allow: ['*/*'] } } } })
}

async function modernClient (t: Test, gateway: TestGateway, token: string, path: string): Promise<ModernClient> {
  const client = new ModernClient({ name: 'v2', version: '2.0.0' }, { versionNegotiation: { mode: 'auto' }, capabilities: { elicitation: { form: {} } } })
  client.setRequestHandler('elicitation/create', () => ({ action: 'accept' as const, content: { colour: 'blue' } }))
  await client.connect(new ModernTransport(new URL(gateway.url + path), { requestInit: { headers: { authorization: `Bearer ${token}` } } }))
  t.teardown(() => client.close())
  return client
}

const headers = { authorization: 'Bearer ${secret:remote}' } // eslint-disable-line no-template-curly-in-string

t.test('a remote server of the session era serves clients of both eras, with the gateway\'s credentials', async (t) => {
  const remote = await streamable(t)
  const gateway = await start(t, { remote: { url: `${remote.url}/mcp`, headers } })
  const token = await gateway.addUser('alice', ['user'])
  const [old, recent] = [await gateway.client('/mcp/remote', token), await modernClient(t, gateway, token, '/mcp/remote')]
  for (const client of [old, recent]) t.equal(textOf(await client.callTool({ name: 'echo', arguments: { text: 'hé\nllo' } })), 'hé\nllo')
  t.equal(textOf(await recent.callTool({ name: 'ask', arguments: {} })), 'blue', 'a question travels back over HTTP too')
  t.ok(remote.seen.every(({ headers }) => headers.authorization === 'Bearer own-credential'), 'its own credentials')
  t.notOk(JSON.stringify(remote.seen.map(({ headers }) => headers)).includes(token), 'T16: never the client\'s token')

  await t.test('what it says outside of any answer is heard', async (t) => {
    await old.callTool({ name: 'grow', arguments: {} })
    await until(async () => (await old.listTools()).tools.some(({ name }) => name === 'grown'))
    t.equal(textOf(await old.callTool({ name: 'grown', arguments: {} })), 'grown')
  })

  await t.test('a session that it forgot is begun anew', async (t) => {
    remote.forget()
    await old.callTool({ name: 'echo', arguments: { text: 'x' } }).catch(() => {})
    await until(async () => textOf(await old.callTool({ name: 'echo', arguments: { text: 'again' } }).catch(() => ({ content: [{ text: '' }] }))) === 'again')
    t.pass('served again')
  })
})

t.test('a remote server of 2024-11-05 (HTTP+SSE) serves clients of both eras', async (t) => {
  const remote = await oldSse(t)
  const gateway = await start(t, { remote: { url: `${remote.url}/sse`, headers } })
  const token = await gateway.addUser('alice', ['user'])
  t.equal(textOf(await (await gateway.client('/mcp/remote', token)).callTool({ name: 'echo', arguments: { text: 'x' } })), 'x')
  t.equal(textOf(await (await modernClient(t, gateway, token, '/mcp/remote')).callTool({ name: 'ask', arguments: {} })), 'blue')
})

t.test('a remote server of 2026-07-28 gets the headers of its revision, and serves clients of both eras', async (t) => {
  const remote = await modern(t)
  const gateway = await start(t, { remote: { url: `${remote.url}/mcp`, headers } })
  const token = await gateway.addUser('alice', ['user'])
  for (const client of [await gateway.client('/mcp/remote', token), await modernClient(t, gateway, token, '/mcp/remote')]) {
    t.equal(textOf(await client.callTool({ name: 'echo', arguments: { text: 'x' } })), 'x')
    t.equal(textOf(await client.callTool({ name: 'route', arguments: { region: 'Zürich' } })), 'Zürich', 'Mcp-Param headers are made from its own schema')
  }
  t.match(remote.seen.at(-1)?.headers, { 'mcp-method': 'tools/call', 'mcp-name': 'route', 'mcp-param-region': /^=\?base64\?.+\?=$/, 'mcp-session-id': undefined })
})

t.test('T43: a remote server leads nowhere it was not meant to', async (t) => {
  const inner = await listen(t, (_request, response) => { response.end('{}') })
  const elsewhere = await listen(t, (_request, response) => { response.writeHead(307, { location: `${inner.url}/mcp` }).end() })
  const sse = await listen(t, (request, response) => {
    if (request.method !== 'GET') {
      response.writeHead(405).end()
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`event: endpoint\ndata: ${inner.url}/messages\n\n`)
  })
  const port = new URL(inner.url).port
  const gateway = await start(t, {
    redirected: { url: `${elsewhere.url}/mcp` },
    pointed: { url: `${sse.url}/sse` },
    named: { url: `https://localhost:${port}/mcp` },
    rebound: { url: `https://127.0.0.1.nip.invalid:${port}/mcp` },
  })
  const token = await gateway.addUser('alice', ['user'])
  for (const upstream of ['redirected', 'pointed', 'named', 'rebound']) {
    const body = await (await gateway.post(`/mcp/${upstream}`, token, { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } } })).json()
    t.match(body, { error: { data: { code: 'PORTCULLIS_UPSTREAM_UNAVAILABLE' } } }, upstream)
  }
  t.equal(inner.seen.length, 0, 'the server inside was not contacted')
  t.match(gateway.log(), 'it is private, and')
})

t.test('a remote server that fails is an outage for its own callers, in words they can act on', async (t) => {
  const remote = await streamable(t)
  const closed = await listen(t, (_request, response) => { response.writeHead(401, { 'www-authenticate': 'Bearer' }).end() })
  const gateway = await start(t, { remote: { url: `${remote.url}/mcp`, timeouts: { call: '1s' } }, closed: { url: `${closed.url}/mcp` } })
  const token = await gateway.addUser('alice', ['user'])
  const client = await gateway.client('/mcp/remote', token)
  t.match(await client.callTool({ name: 'hang', arguments: {} }), { isError: true, content: [{ text: /did not answer/ }] })
  t.equal(textOf(await client.callTool({ name: 'echo', arguments: { text: 'x' } })), 'x')
  const modern = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} }
  const refused = await gateway.post('/mcp/closed', token, { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: modern } }, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' })
  t.equal(refused.status, 503, '76, 23: its 401 is no 401 of ours, and an outage no sign of another era')
  t.equal(refused.headers.get('www-authenticate'), null)
  remote.server.closeAllConnections()
  remote.server.close()
  t.match(await client.callTool({ name: 'echo', arguments: { text: 'x' } }), { isError: true })
})

t.test('23, 50: an outage, a refused credential and a lost connection say nothing of the revisions a remote server speaks', async (t) => {
  const remote = await modern(t)
  const troubles: ((response: ServerResponse) => void)[] = []
  const front = await listen(t, (request, response) => {
    const trouble = troubles.shift()
    if (trouble === undefined) remote.server.emit('request', request, response)
    else request.resume().on('end', () => trouble(response))
  })
  const names = ['outage', 'credential', 'connection'] as const
  const gateway = await start(t, Object.fromEntries(names.map((name) => [name, { url: `${front.url}/mcp` }])))
  const token = await gateway.addUser('alice', ['user'])
  const envelope = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} }
  const list = async (name: string): Promise<number> => (await gateway.post(`/mcp/${name}`, token, { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: envelope } }, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' })).status
  const troubleOf: Record<typeof names[number], (response: ServerResponse) => void> = {
    outage: (response) => { response.writeHead(503).end() },
    credential: (response) => { response.writeHead(401).end() },
    connection: (response) => { response.destroy() },
  }
  for (const name of names) {
    const before = front.seen.length
    troubles.push(troubleOf[name])
    t.equal(await list(name), 503, `${name}: unavailable to its caller`)
    t.equal(front.seen.length, before + 1, 'and no other revision is tried')
    await until(async () => await list(name) === 200, 30_000)
    t.equal(front.seen.at(-1)?.headers['mcp-protocol-version'], '2026-07-28', 'once it works it is spoken to as before')
  }
})
