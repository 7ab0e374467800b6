import t from 'tap'
import { readMessage } from '../../src/protocol/message.ts'
import { checkParamHeaders, decodeMirror, readEnvelope } from '../../src/protocol/modern.ts'
import { qualify, split } from '../../src/protocol/names.ts'

t.test('requests, notifications and responses are told apart', async (t) => {
  t.match(readMessage({ jsonrpc: '2.0', id: 0, method: 'ping' }), { kind: 'request', id: 0, method: 'ping', params: {} })
  t.match(readMessage({ jsonrpc: '2.0', id: '', method: 'ping' }), { kind: 'request', id: '' })
  t.match(readMessage({ jsonrpc: '2.0', method: 'notifications/initialized' }), { kind: 'notification' })
  t.match(readMessage({ jsonrpc: '2.0', id: 1, result: {} }), { kind: 'response', id: 1 })
})

t.test('14: malformed messages are refused with what is wrong', async (t) => {
  const cases: [unknown, RegExp][] = [
    [null, /is an object/], [[], /is an object/], [{ id: 1, method: 'x' }, /"jsonrpc"/], [{ jsonrpc: '1.0', id: 1, method: 'x' }, /"jsonrpc"/],
    [{ jsonrpc: '2.0', id: null, method: 'x' }, /"id"/], [{ jsonrpc: '2.0', id: 1.5, method: 'x' }, /"id"/], [{ jsonrpc: '2.0', id: {}, method: 'x' }, /"id"/],
    [{ jsonrpc: '2.0', id: 1, method: '' }, /"method"/], [{ jsonrpc: '2.0', id: 1, method: 7 }, /"method"/], [{ jsonrpc: '2.0', id: 1, method: 'x', params: [] }, /"params"/],
    [{ jsonrpc: '2.0', id: 1, method: 'x', params: { _meta: 1 } }, /_meta/], [{ jsonrpc: '2.0', id: 1 }, /"result" or "error"/], [{ jsonrpc: '2.0', id: 1, result: {}, error: {} }, /either/],
  ]
  for (const [value, reason] of cases) t.throws(() => readMessage(value), { code: 'PORTCULLIS_INVALID_REQUEST', message: reason }, JSON.stringify(value))
})

const version = '2026-07-28'
const params = (more: object = {}): Record<string, unknown> => ({ name: 'echo', _meta: { 'io.modelcontextprotocol/protocolVersion': version, 'io.modelcontextprotocol/clientCapabilities': {}, ...more } })
const headers = { 'mcp-protocol-version': version, 'mcp-method': 'tools/call', 'mcp-name': 'echo' }

t.test('7: a 2026-07-28 request is accepted when its headers mirror its body', async (t) => {
  t.match(readEnvelope('tools/call', params(), headers), { version, clientInfo: undefined })
  t.ok(readEnvelope('tools/call', params(), { ...headers, 'mcp-method': '  tools/call ', 'mcp-name': '=?base64?ZWNobw==?=' }))
})

t.test('2, 4, 5, 7, 11: a 2026-07-28 request whose headers or envelope are off is refused with the code the specification gives', async (t) => {
  const refused = (given: object, more: object = {}): string => {
    try {
      readEnvelope('tools/call', params(more), { ...headers, ...given })
    } catch (error) {
      return (error as { code: string }).code
    }
    return 'accepted'
  }
  t.equal(refused({ 'mcp-protocol-version': '2025-11-25' }), 'PORTCULLIS_HEADER_MISMATCH')
  t.equal(refused({ 'mcp-protocol-version': undefined }), 'PORTCULLIS_HEADER_MISMATCH')
  t.equal(refused({ 'mcp-method': 'TOOLS/CALL' }), 'PORTCULLIS_HEADER_MISMATCH')
  t.equal(refused({ 'mcp-method': undefined }), 'PORTCULLIS_HEADER_MISMATCH')
  t.equal(refused({ 'mcp-name': 'other' }), 'PORTCULLIS_HEADER_MISMATCH')
  t.equal(refused({ 'mcp-name': 'echo, echo' }), 'PORTCULLIS_HEADER_MISMATCH')
  t.equal(refused({ 'mcp-protocol-version': 'v999' }, { 'io.modelcontextprotocol/protocolVersion': 'v999' }), 'PORTCULLIS_UNSUPPORTED_VERSION')
  t.equal(refused({}, { 'io.modelcontextprotocol/clientCapabilities': undefined }), 'PORTCULLIS_INVALID_ENVELOPE')
  t.equal(refused({}, { 'io.modelcontextprotocol/clientInfo': { name: 1 } }), 'PORTCULLIS_INVALID_ENVELOPE')
  t.equal(refused({}, { 'io.modelcontextprotocol/logLevel': 'loud' }), 'PORTCULLIS_INVALID_ENVELOPE')
})

t.test('8: mirrored values decode strictly', async (t) => {
  t.equal(decodeMirror('=?base64?w6k=?='), 'é')
  t.equal(decodeMirror('=?base64?w6k?='), undefined, 'missing padding')
  t.equal(decodeMirror('=?base64?x'), '=?base64?x', 'without its end it is literal')
})

t.test('10: parameters marked x-mcp-header must be mirrored exactly', async (t) => {
  const schema = { properties: { region: { type: 'string', 'x-mcp-header': 'Region' }, n: { type: 'integer', 'x-mcp-header': 'N' } } }
  checkParamHeaders(schema, { region: 'eu', n: 42 }, { 'mcp-param-region': 'eu', 'mcp-param-n': '42.0' })
  checkParamHeaders(schema, { region: null }, {})
  t.throws(() => checkParamHeaders(schema, { region: 'eu' }, {}), { code: 'PORTCULLIS_HEADER_MISMATCH' })
  t.throws(() => checkParamHeaders(schema, { region: null }, { 'mcp-param-region': 'eu' }), { code: 'PORTCULLIS_HEADER_MISMATCH' })
  t.throws(() => checkParamHeaders(schema, { region: 'eu' }, { 'mcp-param-region': 'us' }), { code: 'PORTCULLIS_HEADER_MISMATCH' })
})

t.test('79: qualified names split where the upstream ends', async (t) => {
  t.same(split(qualify('files', 'read__file')), { upstream: 'files', name: 'read__file' })
  for (const name of ['echo', '__echo', 'files__', '']) t.equal(split(name), undefined, name)
})
