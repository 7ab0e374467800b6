// The requests of each protocol era, as bytes on the wire.

const modernVersion = '2026-07-28'
const legacyVersion = '2025-11-25'
const client = { name: 'portcullis-bench', version: '1.0.0' }

const legacyInitialize = { jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: legacyVersion, capabilities: {}, clientInfo: client } }
const modernMeta = JSON.stringify({
  'io.modelcontextprotocol/protocolVersion': modernVersion,
  'io.modelcontextprotocol/clientInfo': client,
  'io.modelcontextprotocol/clientCapabilities': {},
})

/**
 * How an era asks. `handshake` is true where calls need a session first. `pad` asks for answers of that many bytes.
 *   legacy  2025-11-25: initialize, then calls that carry the session
 *   modern  2026-07-28: every call stands alone
 *   echo    the bytes of legacy with no handshake, for servers that speak no MCP
 */
export function speak ({ era, url, token, pad }) {
  const common = `host: ${url.host}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n` +
    (token === undefined ? '' : `authorization: Bearer ${token}\r\n`)
  const tail = `"${pad === undefined ? '' : `,"pad":${pad}`}}${era === 'modern' ? `,"_meta":${modernMeta}` : ''}}}`
  const modernHeaders = `mcp-protocol-version: ${modernVersion}\r\nmcp-method: tools/call\r\nmcp-name: echo\r\n`
  const post = (headers, body) => `POST ${url.pathname} HTTP/1.1\r\n${common}${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  return {
    handshake: era === 'legacy',
    call: (headers, id, text) => post(headers, `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"echo","arguments":{"text":"${text}${tail}`),
    callHeaders: ({ session, version } = {}) => era === 'modern' ? modernHeaders : sessionHeaders(session, version),
    initialize: () => post('', JSON.stringify(legacyInitialize)),
    initialized: (opened) => post(sessionHeaders(opened.session, opened.version), '{"jsonrpc":"2.0","method":"notifications/initialized"}'),
    goodbye: ({ session, version }) => `DELETE ${url.pathname} HTTP/1.1\r\n${common}${sessionHeaders(session, version)}content-length: 0\r\n\r\n`,
  }
}

function sessionHeaders (session, version = legacyVersion) {
  return `mcp-protocol-version: ${version}\r\n${session === undefined ? '' : `mcp-session-id: ${session}\r\n`}`
}
