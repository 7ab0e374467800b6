import { request } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const modern = '2026-07-28'
const envelope = { 'io.modelcontextprotocol/protocolVersion': modern, 'io.modelcontextprotocol/clientCapabilities': {} }
const echo = { name: 'echo', arguments: { text: 'x' } }
const initialize = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } }

interface Answer { status: number, headers: Headers, body: { id?: unknown, result?: Record<string, unknown>, error?: { code: number, message: string, data: { code: string, record: string } } } }

function rpc (method: string, params: object = {}, id: unknown = 1): object {
  return { jsonrpc: '2.0', id, method, params }
}

function modernHeaders (method: string, name?: string): Record<string, string> {
  return { 'mcp-protocol-version': modern, 'mcp-method': method, ...(name === undefined ? {} : { 'mcp-name': name }) }
}

t.test('the wire, edge by edge', async (t) => {
  const gateway = await startGateway(t, { yaml: { roles: { user: { allow: ['fixture/*'], deny: ['fixture/secret'] }, visitor: { allow: [] } } } })
  const token = await gateway.addUser('alice', ['user'])
  const other = await gateway.addUser('mallory', ['user'])
  const send = async (body: unknown, headers: Record<string, string> = {}, path = '/mcp/fixture', bearer: string | undefined = token): Promise<Answer> => {
    const response = await gateway.post(path, bearer, body, headers)
    const text = await response.text()
    const data = /^(event|id):/.test(text) ? text.split('data: ').at(-1) ?? '' : text
    return { status: response.status, headers: response.headers, body: data === '' ? {} : JSON.parse(data) as Answer['body'] }
  }
  const open = async (version = '2025-11-25', bearer = token): Promise<Record<string, string>> => {
    const { headers } = await send(rpc('initialize', { ...initialize, protocolVersion: version }), {}, '/mcp/fixture', bearer)
    return { 'mcp-session-id': headers.get('mcp-session-id') ?? 'none' }
  }
  const session = await open()
  const refused = (answer: Answer, status: number, code: number, ours: string, name: string): void => {
    t.equal(answer.status, status, name)
    t.match(answer.body.error, { code, data: { code: ours, record: String, docs: `${gateway.url}/errors/${ours}` } }, name)
  }

  await t.test('22, 75, 77: authentication comes before everything', async (t) => {
    for (const method of ['GET', 'POST', 'DELETE', 'PUT', 'HEAD', 'OPTIONS']) {
      const response = await fetch(`${gateway.url}/mcp/fixture`, { method, headers: { accept: '*/*', 'content-type': 'text/plain' } })
      t.equal(response.status, 401, method)
      t.equal(response.headers.get('www-authenticate'), `Bearer resource_metadata="${gateway.url}/.well-known/oauth-protected-resource/mcp/fixture", scope="mcp"`)
    }
    t.match((await fetch(`${gateway.url}/mcp`, { headers: { authorization: 'Bearer nonsense' } })).headers.get('www-authenticate'), /error="invalid_token"/)
    t.equal((await fetch(`${gateway.url}/mcp?access_token=${token}`)).status, 401, 'a token in the URL is not looked at')
    t.match(await (await fetch(`${gateway.url}/.well-known/oauth-protected-resource/mcp`)).json(), { resource: `${gateway.url}/mcp`, bearer_methods_supported: ['header'] })
  })

  await t.test('T22, 19, 20: Host and Origin are checked everywhere', async (t) => {
    for (const path of ['/mcp', '/auth/login', '/.well-known/oauth-protected-resource', '/metrics']) {
      t.equal(await statusWith(gateway, path, { host: 'evil.example' }), 403, path)
      t.equal(await statusWith(gateway, path, { origin: 'https://evil.example' }), 403, path)
      t.equal(await statusWith(gateway, path, { origin: 'null' }), 403, path)
    }
    t.equal(await statusWith(gateway, '/mcp', { host: 'localhost:1', authorization: `Bearer ${token}` }), 400, 'loopback names are fine: the session is what is missing')
    const preflight = await fetch(`${gateway.url}/mcp`, { method: 'OPTIONS', headers: { origin: gateway.url, 'access-control-request-method': 'POST', 'access-control-request-headers': 'mcp-param-region' } })
    t.equal(preflight.status, 204)
    t.equal(preflight.headers.get('access-control-allow-headers'), 'mcp-param-region')
  })

  await t.test('14, 18, 71: what is not one JSON-RPC message is refused with its reason', async (t) => {
    refused(await send('{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}', session), 400, -32600, 'PORTCULLIS_INVALID_REQUEST', 'duplicate member')
    refused(await send(Buffer.from([0x7b, 0xff, 0x7d]), session), 400, -32700, 'PORTCULLIS_PARSE_ERROR', 'bad UTF-8')
    refused(await send('{"a":', session), 400, -32700, 'PORTCULLIS_PARSE_ERROR', 'not JSON')
    refused(await send(rpc('ping', {}, null), session), 400, -32600, 'PORTCULLIS_INVALID_REQUEST', 'id null')
    refused(await send([rpc('ping')], session), 400, -32600, 'PORTCULLIS_INVALID_REQUEST', 'a batch after 2025-03-26')
    refused(await send('{}', { ...session, 'content-type': 'text/plain' }), 415, -32600, 'PORTCULLIS_UNSUPPORTED_MEDIA_TYPE', 'not JSON by its type')
    refused(await send('{}', { ...session, accept: 'text/html' }), 406, -32600, 'PORTCULLIS_NOT_ACCEPTABLE', 'nothing we can send')
    refused(await send(rpc('tools/call', { name: 'echo', arguments: { text: 'x'.repeat(5_000_000) } }), session), 413, 413, 'PORTCULLIS_BODY_TOO_LARGE', 'too large')
    t.equal((await send(rpc('ping'), { ...session, 'content-type': 'application/json; charset=utf-8' })).status, 200)
  })

  await t.test('25, 26: sessions belong to their principal, can be ended, and cannot be made up', async (t) => {
    t.match(await send(rpc('tools/call', echo), session), { status: 200, body: { result: { content: [{ text: 'x' }] } } })
    refused(await send(rpc('tools/call', echo)), 400, -32600, 'PORTCULLIS_SESSION_REQUIRED', 'no session')
    const stolen = await send(rpc('tools/call', echo), session, '/mcp/fixture', other)
    refused(stolen, 404, -32001, 'PORTCULLIS_SESSION_NOT_FOUND', 'somebody else\'s session')
    const invented = await send(rpc('tools/call', echo), { 'mcp-session-id': 'invented' })
    const anonymous = (answer: Answer): string => JSON.stringify(answer.body).replace(/"record":"[^"]+"/, '')
    t.equal(anonymous(stolen), anonymous(invented))
    const forged = `${session['mcp-session-id']?.slice(0, -2)}xx`
    refused(await send(rpc('tools/call', echo), { 'mcp-session-id': forged }), 404, -32001, 'PORTCULLIS_SESSION_NOT_FOUND', 'a forged seal')
    const mine = await open()
    const headers = { authorization: `Bearer ${token}`, ...mine }
    t.equal((await fetch(`${gateway.url}/mcp/fixture`, { method: 'DELETE', headers })).status, 204)
    t.equal((await fetch(`${gateway.url}/mcp/fixture`, { method: 'DELETE', headers })).status, 404)
    refused(await send(rpc('ping'), mine), 404, -32001, 'PORTCULLIS_SESSION_NOT_FOUND', 'an ended session')
    t.equal((await gateway.rows({ kind: 'session' })).length, 1)
  })

  await t.test('17, 21: a GET opens one stream a session', async (t) => {
    const get = async (headers: Record<string, string>): Promise<Response> => {
      const abort = new AbortController()
      t.teardown(() => abort.abort())
      return await fetch(`${gateway.url}/mcp/fixture`, { headers: { authorization: `Bearer ${token}`, ...headers }, signal: abort.signal })
    }
    t.equal((await get({ accept: 'text/event-stream' })).status, 400, 'without a session')
    t.equal((await get({ accept: 'application/json', ...session })).status, 406)
    const nowhere = await fetch(`${gateway.url}/mcp/absence`, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...session }, signal: AbortSignal.timeout(5_000) })
    t.match([nowhere.status, nowhere.status === 404 ? await nowhere.json() : {}], [404, { error: { data: { code: 'PORTCULLIS_NOT_FOUND' } } }], 'there is nothing to listen to')
    const first = await get({ accept: 'text/event-stream', ...session })
    t.equal(first.status, 200)
    t.equal(first.headers.get('content-type'), 'text/event-stream')
    t.equal(first.headers.get('x-accel-buffering'), 'no')
    t.equal((await get({ accept: 'text/event-stream', ...session })).status, 200, 'a second one')
    t.equal(await first.text(), '', 'takes the place of the first')
  })

  await t.test('13: legacy revisions are negotiated, and their header may be missing but not wrong', async (t) => {
    for (const version of ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05']) t.match(await send(rpc('initialize', { ...initialize, protocolVersion: version })), { body: { result: { protocolVersion: version } } })
    t.match(await send(rpc('initialize', { ...initialize, protocolVersion: '1999-01-01' })), { body: { result: { protocolVersion: '2025-11-25' } } })
    refused(await send(rpc('initialize', { protocolVersion: 7 })), 200, -32602, 'PORTCULLIS_INVALID_PARAMS', 'malformed initialize')
    refused(await send(rpc('ping'), { ...session, 'mcp-protocol-version': 'v1' }), 400, -32022, 'PORTCULLIS_UNSUPPORTED_VERSION', 'unknown version header')
    t.match(await send(rpc('ping'), session), { status: 200, body: { id: 1, result: {} } })
    refused(await send(rpc('no/such'), session), 200, -32601, 'PORTCULLIS_UNKNOWN_METHOD', 'unknown method')
    refused(await send(rpc('server/discover'), session), 200, -32601, 'PORTCULLIS_UNKNOWN_METHOD', 'a modern method')
    t.equal((await send({ jsonrpc: '2.0', method: 'notifications/initialized' }, session)).status, 202)
    t.equal((await send({ jsonrpc: '2.0', id: 5, result: {} }, session)).status, 202, 'a response to nothing is taken and ignored')
  })

  await t.test('12: batches walk the pipeline message by message in 2025-03-26', async (t) => {
    const old = await open('2025-03-26')
    const response = await gateway.post('/mcp/fixture', token, [rpc('tools/call', echo, 1), rpc('tools/call', { name: 'secret', arguments: {} }, 2), { jsonrpc: '2.0', method: 'notifications/initialized' }], old)
    const answers = (await response.json() as Answer['body'][]).sort((a, b) => Number(a.id) - Number(b.id))
    t.match(answers, [{ id: 1, result: { content: [{ text: 'x' }] } }, { id: 2, error: { code: -32602 } }])
    refused(await send([], old), 400, -32600, 'PORTCULLIS_INVALID_REQUEST', 'empty batch')
    const nested = await (await gateway.post('/mcp/fixture', token, [rpc('initialize', initialize)], old)).json() as Answer['body'][]
    t.match(nested, [{ error: { code: -32600 } }], 'initialize inside a batch')
  })

  await t.test('1, 2, 3, 5, 6, 13: 2026-07-28 requests are checked against their headers before anything is forwarded', async (t) => {
    const before = gateway.calls().length
    const call = (params: object, headers: Record<string, string>): Promise<Answer> => send(rpc('tools/call', params), headers)
    const good = { ...echo, _meta: envelope }
    refused(await call(echo, modernHeaders('tools/call', 'echo')), 400, -32602, 'PORTCULLIS_INVALID_ENVELOPE', 'header without envelope')
    refused(await call(good, {}), 400, -32020, 'PORTCULLIS_HEADER_MISMATCH', 'envelope without header')
    refused(await call(good, modernHeaders('tools/list', 'echo')), 400, -32020, 'PORTCULLIS_HEADER_MISMATCH', 'another method')
    refused(await call(good, modernHeaders('tools/call', 'secret')), 400, -32020, 'PORTCULLIS_HEADER_MISMATCH', 'another name')
    refused(await call({ ...echo, _meta: { ...envelope, 'io.modelcontextprotocol/protocolVersion': 'v9' } }, { ...modernHeaders('tools/call', 'echo'), 'mcp-protocol-version': 'v9' }), 400, -32022, 'PORTCULLIS_UNSUPPORTED_VERSION', 'an unknown version')
    refused(await send(rpc('initialize', initialize), modernHeaders('initialize')), 400, -32020, 'PORTCULLIS_HEADER_MISMATCH', 'initialize with a modern header')
    for (const method of ['initialize', 'ping', 'logging/setLevel', 'resources/subscribe', 'no/such']) {
      refused(await send(rpc(method, { _meta: envelope }), modernHeaders(method)), 404, -32601, 'PORTCULLIS_UNKNOWN_METHOD', method)
    }
    refused(await send({ jsonrpc: '2.0', id: 1, result: {} }, modernHeaders('x')), 400, -32600, 'PORTCULLIS_INVALID_REQUEST', 'a posted response')
    t.equal(gateway.calls().slice(before).filter(({ method }) => method === 'tools/call').length, 0)
    t.match(await call(good, modernHeaders('tools/call', 'echo')), { status: 200, body: { result: { resultType: 'complete', content: [{ text: 'x' }] } } })
    t.match(await send(rpc('server/discover', { _meta: envelope }), modernHeaders('server/discover')), { body: { result: { supportedVersions: [modern, '2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'], ttlMs: 0, cacheScope: 'private', _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'fixture' } } } } })
    t.match(await send(rpc('tools/list', { _meta: envelope }), modernHeaders('tools/list')), { body: { result: { resultType: 'complete', ttlMs: 0, cacheScope: 'private' } } })
    t.match(await send(rpc('resources/read', { uri: 'memo://one', _meta: envelope }), modernHeaders('resources/read', 'memo://one')), { body: { result: { ttlMs: 0, cacheScope: 'private', contents: [{ text: 'first' }] } } })
    const forwarded = gateway.calls().filter(({ method }) => method === 'tools/call').at(-1)
    t.equal(forwarded?.params['_meta'], undefined, 'the envelope is not for a legacy upstream')
  })

  await t.test('an upstream that is not there and one that is not for you are the same 404', async (t) => {
    const nobody = await gateway.addUser('nobody', ['visitor'])
    const hidden = await send(rpc('initialize', initialize), {}, '/mcp/fixture', nobody)
    const absent = await send(rpc('initialize', initialize), {}, '/mcp/absence', nobody)
    t.equal(hidden.status, 404)
    t.equal(JSON.stringify(hidden.body).replace(/"record":"[^"]+"/, '').replace('fixture', 'x'), JSON.stringify(absent.body).replace(/"record":"[^"]+"/, '').replace('absence', 'x'))
  })

  await t.test('limits are told in headers', async (t) => {
    const { headers } = await send(rpc('tools/call', echo), session)
    t.match(headers.get('ratelimit-limit'), /^60$/)
    t.match(Number(headers.get('ratelimit-remaining')), Number)
    t.ok(Number(headers.get('ratelimit-reset')) <= 3600)
  })

  await t.test('requests sent ahead on one connection are answered in their order, each with its whole body', async (t) => {
    const texts = ['first', 'zweite: größer, 数', 'third']
    const ahead = texts.map((text, id) => requestText(gateway, { ...session, authorization: `Bearer ${token}` }, rpc('tools/call', { name: 'echo', arguments: { text } }, id)))
    const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.write(ahead.join(''))
    const answers = await answersFrom(socket, texts.length)
    t.match(answers, texts.map((text, id) => ({ id, result: { content: [{ text }] } })))
  })

  await t.test('each refusal links to a page', async (t) => {
    t.match(await (await fetch(`${gateway.url}/errors/PORTCULLIS_RATE_LIMITED`)).text(), /A limit is used up/)
    t.equal((await fetch(`${gateway.url}/errors/NONE`)).status, 404)
    t.match(await (await fetch(`${gateway.url}/nothing/here`)).json(), { code: 'PORTCULLIS_NOT_FOUND' })
  })
})

/** fetch refuses to set Host, so this goes by hand. */
async function statusWith (gateway: TestGateway, path: string, headers: Record<string, string>): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    request(gateway.url + path, { method: path === '/auth/login' ? 'POST' : 'GET', headers }, (response) => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject).end()
  })
}

function requestText (gateway: TestGateway, headers: Record<string, string>, body: object): string {
  const text = JSON.stringify(body)
  const head = { host: new URL(gateway.url).host, accept: 'application/json', 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)), ...headers }
  return `POST /mcp/fixture HTTP/1.1\r\n${Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${text}`
}

/** Reads that many answers with a Content-Length, and fails on anything between or behind them. */
async function answersFrom (socket: Socket, many: number): Promise<unknown[]> {
  const answers: unknown[] = []
  let rest = Buffer.alloc(0)
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk as Buffer])
    for (let head = rest.indexOf('\r\n\r\n'); head >= 0; head = rest.indexOf('\r\n\r\n')) {
      const length = Number(/^HTTP\/1\.1 200 [^]*\r\ncontent-length: (\d+)/i.exec(rest.toString('latin1', 0, head))?.[1])
      if (rest.length < head + 4 + length) break
      answers.push(JSON.parse(rest.toString('utf8', head + 4, head + 4 + length)))
      rest = rest.subarray(head + 4 + length)
    }
    if (answers.length === many) break
  }
  if (rest.length > 0) throw new Error(`behind the answers there is: ${rest.toString()}`)
  return answers
}
