import { request } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { fixture, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { envelope, modern, modernHeaders, modernTool, openSession, read, rpc, tool } from '../support/wire.ts'
import type { Wire } from '../support/wire.ts'

t.test('what the wire brings, edge by edge', async (t) => {
  const folder = t.testdir()
  const gateway = await startGateway(t, {
    folder,
    yaml: {
      upstreams: { fixture: fixture({ shared: join(folder, 'shared'), env: { NAMES: '["größe"]' } }), broken: { command: ['node', '-e', 'process.exit(3)'] } },
      roles: { user: { allow: ['*/*'], deny: ['fixture/secret'] } },
    }
  })
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token)
  const send = async (body: unknown, headers: Record<string, string> = {}, path = '/mcp/fixture'): Promise<Wire> => await read(await gateway.post(path, token, body, headers))
  const reached = (name: string): number => gateway.calls().filter(({ method, params }) => method === 'tools/call' && params['name'] === name).length
  const code = ({ status, body }: Wire): [number, number | undefined] => [status, body.error?.code]

  await t.test('2, 4: an envelope is complete, and its header says the same', async (t) => {
    const [body, headers] = modernTool('echo', { text: 'x' })
    t.same(code(await send(body, { ...headers, 'mcp-protocol-version': '2025-11-25' })), [400, -32020])
    const without = { 'io.modelcontextprotocol/protocolVersion': modern }
    t.same(code(await send(rpc('tools/call', { name: 'echo', arguments: { text: 'x' }, _meta: without }), headers)), [400, -32602], 'no capabilities')
    t.same(code(await send(...modernTool('echo', { text: 'x' }, { 'io.modelcontextprotocol/clientInfo': { name: 1 } }))), [400, -32602], 'malformed clientInfo')
    t.equal(reached('echo'), 0)
    t.equal((await send(body, headers)).status, 200, 'no clientInfo')
  })

  await t.test('5: an unknown version is answered with what there is', async (t) => {
    const [, headers] = modernTool('echo')
    const answer = await send(rpc('tools/list', { _meta: { ...envelope, 'io.modelcontextprotocol/protocolVersion': 'v999' } }), { ...headers, 'mcp-protocol-version': 'v999' })
    t.same(code(answer), [400, -32022])
    t.match(answer.body.error?.data, { requested: 'v999', supported: [modern] })
  })

  await t.test('7, 8, 9, 11: Mcp-Method and Mcp-Name mirror the body exactly', async (t) => {
    const list = rpc('tools/list', { _meta: envelope })
    t.same(code(await send(list, modernHeaders('TOOLS/LIST'))), [400, -32020])
    t.equal((await send(list, { 'mcp-protocol-version': modern, 'mcp-METHOD': '   tools/list ' })).status, 200)
    const [body, headers] = modernTool('größe')
    t.match((await send(body, { ...headers, 'mcp-name': `=?base64?${Buffer.from('größe').toString('base64')}?=` })).body.result, { content: [{ text: 'größe' }] })
    t.same(code(await send(body, { ...headers, 'mcp-name': '=?base64?Z3LDtsOfZ?=' })), [400, -32020], 'bad padding')
    const [echo, plain] = modernTool('echo', { text: 'x' })
    t.same(code(await send(echo, { ...plain, 'mcp-name': '=?base64?echo' })), [400, -32020], 'without its end it is literal')
    t.same(code(await send(rpc('resources/read', { uri: 'memo://one', _meta: envelope }), modernHeaders('resources/read', 'memo://two'))), [400, -32020])
    t.equal((await send(rpc('resources/read', { uri: 'memo://one', _meta: envelope }), modernHeaders('resources/read', 'memo://one'))).status, 200)
    t.same(code(await send(echo, { ...plain, 'mcp-name': 'echo, echo' })), [400, -32020], 'twice is not once')
  })

  await t.test('10: Mcp-Param headers are checked here, since a server on a pipe cannot', async (t) => {
    const route = async (args: object, headers: Record<string, string>): Promise<Wire> => {
      const [body, own] = modernTool('route', args)
      return await send(body, { ...own, ...headers })
    }
    t.same(code(await route({ region: 'eu' }, {})), [400, -32020], 'missing')
    t.same(code(await route({ region: null }, { 'mcp-param-region': 'eu' })), [400, -32020], 'a header for null')
    t.same(code(await route({ deep: { zone: 'a' } }, {})), [400, -32020], 'a nested one')
    t.equal(reached('route'), 0)
    t.equal((await route({ region: 'eu', count: 42, deep: { zone: 'a' } }, { 'mcp-param-region': 'eu', 'mcp-param-count': '42.0', 'mcp-param-zone': 'a', 'mcp-param-unknown': 'x' })).status, 200)
  })

  await t.test('12: a batch holds messages of its own revision only', async (t) => {
    const old = await openSession(gateway, token, '2025-03-26')
    const before = reached('echo')
    const [one] = modernTool('echo', { text: 'x' })
    t.same(code(await send([one, tool('echo', { text: 'y' }, 2)], old)), [400, -32600], 'with a 2026-07-28 element it is refused whole')
    t.equal(reached('echo'), before, 'and nothing of it is forwarded')
    for (const version of ['2025-06-18', '2025-11-25']) t.same(code(await send([tool('echo', { text: 'x' })], await openSession(gateway, token, version))), [400, -32600], version)
  })

  await t.test('14: ids are texts or whole numbers, and an error for none of them has none', async (t) => {
    for (const message of [{ ...rpc('ping'), id: null }, { ...rpc('ping'), id: 1.5 }, { id: 1, method: 'ping' }]) {
      const answer = await send(message, session)
      t.same(code(answer), [400, -32600])
      t.notOk('id' in answer.body)
    }
  })

  await t.test('17, 18: types that are accepted, and what is sent', async (t) => {
    const get = async (accept: string): Promise<number> => {
      const abort = new AbortController()
      const { status } = await fetch(`${gateway.url}/mcp/fixture`, { headers: { authorization: `Bearer ${token}`, accept, ...session }, signal: abort.signal })
      abort.abort()
      return status
    }
    t.equal(await get('application/json'), 406)
    t.equal(await get('*/*'), 200)
    t.equal((await send(rpc('ping'), { ...session, 'content-type': 'application/json; charset=utf-8' })).status, 200)
    t.equal((await send(rpc('ping'), { ...session, 'content-type': 'text/plain' })).status, 415)
  })

  await t.test('19, 20: hosts and origins, with what a browser may read', async (t) => {
    const port = new URL(gateway.url).port
    t.equal(await statusWith(gateway, { host: `[::1]:${port}`, authorization: `Bearer ${token}` }), 400, 'an IPv6 literal is a host: the session is what is missing')
    t.equal(await statusWith(gateway, { origin: 'null' }), 403)
    t.equal(await statusWith(gateway, { authorization: `Bearer ${token}` }), 400, 'no origin at all')
    const { headers } = await gateway.post('/mcp/fixture', token, rpc('ping'), { ...session, origin: gateway.url })
    t.match(headers.get('access-control-expose-headers'), /mcp-session-id.*www-authenticate/)
  })

  await t.test('21, 22: every 4xx to a POST has a JSON-RPC body, so that nobody falls back to an older transport', async (t) => {
    t.equal((await fetch(`${gateway.url}/mcp/fixture`, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' } })).status, 400)
    t.equal((await fetch(`${gateway.url}/mcp/fixture`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } })).status, 400)
    t.equal((await gateway.post('/mcp/absent', undefined, rpc('ping'))).status, 401, 'authentication first')
    const absent = await send(rpc('server/discover', { _meta: envelope }), modernHeaders('server/discover'), '/mcp/absent')
    t.same(code(absent), [404, -32601])
  })

  await t.test('23: an upstream that is down is a 503 to a 2026-07-28 client, never a 4xx', async (t) => {
    t.equal((await send(rpc('tools/list', { _meta: envelope }), modernHeaders('tools/list'), '/mcp/broken')).status, 503)
  })

  await t.test('24: once something was said the status is settled, and an error comes in the stream', async (t) => {
    const late = await send(...modernTool('halfway', {}, { progressToken: 'p' }))
    t.match(late, { status: 200, type: /text\/event-stream/, body: { error: { code: -32601 } } })
    t.match(late.text, /"progressToken":"p"/)
    t.same(code(await send(...modernTool('error'))), [200, -32050], 'an error of a server\'s own is in-band')
  })

  await t.test('6, 59: what the session era has is unknown to 2026-07-28, and a missing resource is named', async (t) => {
    for (const method of ['ping', 'logging/setLevel', 'resources/subscribe']) t.same(code(await send(rpc(method, { level: 'info', uri: 'memo://one', _meta: envelope }), modernHeaders(method))), [404, -32601], method)
    t.notOk(gateway.calls().some(({ method }) => ['logging/setLevel', 'resources/subscribe'].includes(method)))
    const gone = await send(rpc('resources/read', { uri: 'memo://gone', _meta: envelope }), modernHeaders('resources/read', 'memo://gone'))
    t.match(gone.body.error, { code: -32602, data: { uri: 'memo://gone' } })
    t.match((await send(rpc('resources/read', { uri: 'memo://gone' }), session)).body.error, { code: -32002 }, 'a session-era client gets what the server says')
  })

  await t.test('48, 84: a message on many lines is one line to the server, with its trace and vendor members', async (t) => {
    const meta = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'example.com/own': { a: 1 } }
    const pretty = JSON.stringify(rpc('tools/call', { name: 'meta', arguments: {}, _meta: meta }), undefined, 2).replaceAll('\n', '\r\n')
    t.match(JSON.parse((await send(pretty, session)).body.result?.content?.[0]?.text ?? ''), meta)
    const [body, headers] = modernTool('meta', {}, meta)
    const seen = JSON.parse((await send(body, headers)).body.result?.content?.[0]?.text ?? '') as object
    t.strictSame(seen, meta, 'and without the envelope where the server knows none')
    t.match((await send(tool('meta'), session)).body.result, { _meta: { 'example.org/kept': true } }, 'what a server adds comes back')
  })

  await t.test('62, 73: lists say how they may be kept in 2026-07-28, and never for others', async (t) => {
    const listed = await send(rpc('tools/list', { _meta: envelope }), modernHeaders('tools/list'))
    t.match(listed.body.result, { resultType: 'complete', ttlMs: 0, cacheScope: 'private' })
    t.notMatch(listed.text, /"execution"/)
    const old = await send(rpc('tools/list'), session)
    t.notMatch(old.text, /resultType|ttlMs|cacheScope/)
    t.notMatch(old.text, /"secret"/, 'and show what may be called')
  })

  await t.test('78: a denied call is answered before any byte of a stream, by a plain body', async (t) => {
    const denied = await send(...modernTool('secret', { note: 'x' }, { progressToken: 1 }))
    t.match(denied, { status: 200, type: 'application/json', body: { error: { code: -32602 } } })
    t.equal(reached('secret'), 0)
  })

  await t.test('33: a 2026-07-28 client that hangs up cancels, one of the session era does not', async (t) => {
    const leave = async (body: object, headers: Record<string, string>, name: string): Promise<void> => {
      const abort = new AbortController()
      const before = reached(name)
      const call = fetch(`${gateway.url}/mcp/fixture`, { method: 'POST', signal: abort.signal, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers }, body: JSON.stringify(body) })
      await until(() => reached(name) > before)
      abort.abort()
      await call.catch(() => {})
    }
    await leave(...modernTool('hang'), 'hang')
    await until(() => gateway.calls().some(({ method }) => method === 'notifications/cancelled'))
    await leave(tool('sleep', { ms: 600 }), session, 'sleep')
    await until(async () => (await gateway.rows({ tool: 'sleep', outcome: 'ok' })).length === 1)
    t.equal(gateway.calls().filter(({ method }) => method === 'notifications/cancelled').length, 1)
  })
})

async function statusWith (gateway: TestGateway, headers: Record<string, string>): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    request(`${gateway.url}/mcp`, { headers }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject).end()
  })
}
