import { brotliCompressSync, gzipSync } from 'node:zlib'

import t from 'tap'
import { answers, round, start } from '../support/asking.ts'
import { adminPassword, startGateway } from '../support/gateway.ts'
import { envelope, modern, modernTool, openSession, read, rpc, tool } from '../support/wire.ts'
import type { Wire } from '../support/wire.ts'

/** What is sent, and what must come back: the status, the JSON-RPC code and ours. */
type Bad = readonly [name: string, body: unknown, headers: Record<string, string>, status: number, code: number, ours: string, path?: string]

const big = 'x'.repeat(5_000_000)
const text = JSON.stringify(tool('echo', { text: 'x' }))
const [modernEcho, modernEchoHeaders] = modernTool('echo', { text: 'x' })

t.test('each kind of bad input gets its answer and its record, and the upstream gets nothing', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token)
  const foreign = await openSession(gateway, await gateway.addUser('mallory', ['user']))
  const own = (meta: object): object => rpc('tools/call', { name: 'echo', arguments: { text: 'x' }, _meta: meta })
  t.match((await read(await gateway.post('/mcp/fixture', token, tool('echo', { text: 'x' }), session))).body, { result: { content: [{ text: 'x' }] } }, 'what is not bad passes')
  t.match((await read(await gateway.post('/mcp/fixture', token, modernEcho, modernEchoHeaders))).body, { result: { content: [{ text: 'x' }] } }, 'in either era')
  const before = gateway.calls().length

  const bad: Bad[] = [
    ['malformed JSON', text.slice(0, -1), session, 400, -32700, 'PORTCULLIS_PARSE_ERROR'],
    ['malformed JSON, 2026-07-28', JSON.stringify(modernEcho).slice(0, -1), modernEchoHeaders, 400, -32700, 'PORTCULLIS_PARSE_ERROR'],
    ['bytes that are not UTF-8', Buffer.from(text.replace('"x"', '"\xff"'), 'latin1'), session, 400, -32700, 'PORTCULLIS_PARSE_ERROR'],
    ['a key twice', text.replace('"name":"echo"', '"name":"add","name":"echo"'), session, 400, -32600, 'PORTCULLIS_INVALID_REQUEST'],
    ['a key twice, once as an escape', text.replace('"name":"echo"', '"name":"add","n\\u0061me":"echo"'), session, 400, -32600, 'PORTCULLIS_INVALID_REQUEST'],
    ['nested too deeply', text.replace('"x"', `${'['.repeat(5000)}${']'.repeat(5000)}`), session, 400, -32600, 'PORTCULLIS_INVALID_REQUEST'],
    ['a name that is a number', rpc('tools/call', { name: 7, arguments: {} }), session, 200, -32602, 'PORTCULLIS_INVALID_PARAMS'],
    ['params that are a text', { jsonrpc: '2.0', id: 1, method: 'tools/call', params: 'echo' }, session, 400, -32600, 'PORTCULLIS_INVALID_REQUEST'],
    ['a method that is a number', { jsonrpc: '2.0', id: 1, method: 7 }, session, 400, -32600, 'PORTCULLIS_INVALID_REQUEST'],
    ['no jsonrpc', { id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text: 'x' } } }, session, 400, -32600, 'PORTCULLIS_INVALID_REQUEST'],
    ['no _meta', tool('echo', { text: 'x' }), modernEchoHeaders, 400, -32602, 'PORTCULLIS_INVALID_ENVELOPE'],
    ['half a _meta', own({ 'io.modelcontextprotocol/protocolVersion': modern }), modernEchoHeaders, 400, -32602, 'PORTCULLIS_INVALID_ENVELOPE'],
    ['a header of another method', modernEcho, { ...modernEchoHeaders, 'mcp-method': 'tools/list' }, 400, -32020, 'PORTCULLIS_HEADER_MISMATCH'],
    ['a header of another name', modernEcho, { ...modernEchoHeaders, 'mcp-name': 'add' }, 400, -32020, 'PORTCULLIS_HEADER_MISMATCH'],
    ['no header of the method', modernEcho, { 'mcp-protocol-version': modern, 'mcp-name': 'echo' }, 400, -32020, 'PORTCULLIS_HEADER_MISMATCH'],
    ['a parameter without its header', ...modernTool('route', { region: 'eu' }), 400, -32020, 'PORTCULLIS_HEADER_MISMATCH'],
    ['a version that nobody knows, 2026-07-28', own({ ...envelope, 'io.modelcontextprotocol/protocolVersion': 'v9' }), { ...modernEchoHeaders, 'mcp-protocol-version': 'v9' }, 400, -32022, 'PORTCULLIS_UNSUPPORTED_VERSION'],
    ['a version that nobody knows, in a session', tool('echo', { text: 'x' }), { ...session, 'mcp-protocol-version': 'v9' }, 400, -32022, 'PORTCULLIS_UNSUPPORTED_VERSION'],
    ['an oversize body', tool('echo', { text: big }), session, 413, 413, 'PORTCULLIS_BODY_TOO_LARGE'],
    ['an oversize body, 2026-07-28', modernTool('echo', { text: big })[0], modernEchoHeaders, 413, 413, 'PORTCULLIS_BODY_TOO_LARGE'],
    ['somebody else\'s session', tool('echo', { text: 'x' }), foreign, 404, -32001, 'PORTCULLIS_SESSION_NOT_FOUND'],
    ['a session that was made up', tool('echo', { text: 'x' }), { 'mcp-session-id': 'made-up' }, 404, -32001, 'PORTCULLIS_SESSION_NOT_FOUND'],
    ['no session', tool('echo', { text: 'x' }), {}, 400, -32600, 'PORTCULLIS_SESSION_REQUIRED'],
    ['a cursor that was made up', rpc('tools/list', { cursor: 'made-up' }), session, 200, -32602, 'PORTCULLIS_INVALID_PARAMS', '/mcp'],
    ['a batch where there are none', [tool('echo', { text: 'x' })], session, 400, -32600, 'PORTCULLIS_INVALID_REQUEST'],
    ['a body that is not JSON by its type', text, { ...session, 'content-type': 'text/plain' }, 415, -32600, 'PORTCULLIS_UNSUPPORTED_MEDIA_TYPE'],
    ['a compressed body', gzipSync(text), { ...session, 'content-encoding': 'gzip' }, 415, -32600, 'PORTCULLIS_UNSUPPORTED_MEDIA_TYPE'],
    ['a compressed body, 2026-07-28', brotliCompressSync(JSON.stringify(modernEcho)), { ...modernEchoHeaders, 'content-encoding': 'br' }, 415, -32600, 'PORTCULLIS_UNSUPPORTED_MEDIA_TYPE'],
    ['a body that only says that it is compressed', text, { ...session, 'content-encoding': 'zstd' }, 415, -32600, 'PORTCULLIS_UNSUPPORTED_MEDIA_TYPE'],
    ['an answer that cannot be accepted', text, { ...session, accept: 'text/html' }, 406, -32600, 'PORTCULLIS_NOT_ACCEPTABLE'],
  ]
  const records = new Map<string, readonly [name: string, ours: string]>()
  for (const [name, body, headers, status, code, ours, path = '/mcp/fixture'] of bad) {
    const answer: Wire = await read(await gateway.post(path, token, body, headers))
    t.equal(answer.status, status, `${name}: the status`)
    t.match(answer.type, /^application\/json/, `${name}: a JSON-RPC body`)
    t.match(answer.body, { jsonrpc: '2.0', error: { code, data: { code: ours, record: String } } }, name)
    records.set(String(answer.body.error?.data['record']), [name, ours])
  }
  for (const [name, args] of [['arguments that are a list', []], ['arguments that the tool does not take', { text: 7 }]] as const) {
    const { status, body } = await read(await gateway.post('/mcp/fixture', token, tool('echo', args), session))
    t.match([status, body.result], [200, { isError: true, content: [{ text: /^Invalid arguments: / }] }], `${name}: told to the model, which can mend it`)
    records.set(String((body.result?.['_meta'] as Record<string, unknown>)['portcullis/record']), [name, 'PORTCULLIS_INVALID_ARGUMENTS'])
  }
  t.equal(records.size, bad.length + 2, 'each has a record of its own')
  const rows = new Map((await gateway.rows()).map((row) => [row['record'], row]))
  for (const [record, [name, ours]] of records) t.match(rows.get(record), { outcome: 'refused', code: ours }, `${name}: on record`)
  t.equal(gateway.calls().length, before, 'and no byte of any of it reached the upstream')
})

t.test('a compressed body is refused everywhere with what to do, by who is let in, and nothing comes of it', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.login()
  const session = await openSession(gateway, token)
  const doors: readonly (readonly [path: string, body: object | string, headers?: Record<string, string>])[] = [
    ['/mcp/fixture', tool('echo', { text: 'x' }), session],
    ['/sse', rpc('ping')],
    ['/auth/login', { username: 'admin', password: adminPassword }],
    ['/auth/tokens', { name: 'made by a compressed body' }],
    ['/auth/logout', {}],
    ['/admin/api/users', { name: 'made-by-a-compressed-body' }],
    ['/oauth/register', { client_name: 'made by a compressed body', redirect_uris: ['http://127.0.0.1/callback'] }],
    ['/oauth/token', 'grant_type=client_credentials&client_id=x&client_secret=x', { 'content-type': 'application/x-www-form-urlencoded' }],
  ]
  for (const [path, body, headers] of doors) {
    const packed = gzipSync(typeof body === 'string' ? body : JSON.stringify(body))
    const answer = await gateway.post(path, token, packed, { ...headers, 'content-encoding': 'gzip' })
    t.equal(answer.status, 415, path)
    t.equal(answer.headers.get('accept-encoding'), 'identity', path)
    const said = await answer.text()
    t.match(said, 'PORTCULLIS_UNSUPPORTED_MEDIA_TYPE', path)
    t.match(said, 'Send it uncompressed and without that header.', path)
  }
  for (const path of ['/mcp/fixture', '/auth/tokens', '/admin/api/users']) {
    t.equal((await gateway.post(path, undefined, gzipSync('{}'), { 'content-encoding': 'gzip' })).status, 401, `${path}: a stranger is asked who they are first`)
  }
  t.same(gateway.calls().filter(({ method }) => method === 'tools/call'), [], 'the upstream got nothing')
  t.notMatch(JSON.stringify(await gateway.rows()), /made.by.a.compressed.body/)
  t.equal((await gateway.rows({ code: 'PORTCULLIS_UNSUPPORTED_MEDIA_TYPE' })).length, 2, 'what was no call is on record as a refusal')
  t.equal((await gateway.post('/mcp/fixture', token, tool('echo', { text: 'x' }), { ...session, 'content-encoding': 'identity' })).status, 200, 'identity is no compression')
})

t.test('an address that cannot be decoded, or is too long, is one with nothing there', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  for (const path of ['/mcp/%ff', '/admin/api/users/%ff/disable', `/mcp/${'x'.repeat(3000)}`]) {
    for (const asker of [token, undefined]) {
      const response = await gateway.post(path, asker, rpc('ping'))
      t.equal(response.status, 404, path.slice(0, 40))
      t.match(response.headers.get('cache-control'), 'no-store')
      const body = await response.text()
      t.match(JSON.parse(body), { error: 'not_found', code: 'PORTCULLIS_NOT_FOUND', error_description: /cannot be decoded, or is too long/ })
      t.ok(body.length < 300, 'the address is not repeated')
    }
  }
})

t.test('T31: an altered requestState is on record as refused, and the server that waits hears nothing', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const args = { what: 'a' }
  const asked = await round(gateway, token, 'paint', {}, { args })
  const more = answers(asked, 'red') as { requestState: string }
  const at = Math.floor(more.requestState.length / 2)
  const altered = `${more.requestState.slice(0, at)}${more.requestState[at] === 'A' ? 'B' : 'A'}${more.requestState.slice(at + 1)}`
  const refused = await round(gateway, token, 'paint', { ...more, requestState: altered }, { args })
  t.match(refused, { status: 200, error: { code: -32602, data: { code: 'PORTCULLIS_STATE_EXPIRED' } } })
  t.match((await gateway.rows()).find(({ record }) => record === refused.error.data['record']), { outcome: 'refused', code: 'PORTCULLIS_STATE_EXPIRED', tool: 'paint' })
  t.match(await round(gateway, token, 'paint', more, { args }), { result: { content: [{ text: 'a is red' }] } }, 'it still waits for the answer: the altered one never got there')
})
