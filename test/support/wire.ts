import type { TestGateway } from './gateway.ts'

export const modern = '2026-07-28'
export const envelope = { 'io.modelcontextprotocol/protocolVersion': modern, 'io.modelcontextprotocol/clientCapabilities': {} }

export interface Wire {
  readonly status: number
  readonly type: string
  readonly text: string
  readonly body: { id?: unknown, result?: Record<string, unknown> & { content?: { text: string }[] }, error?: { code: number, message: string, data: Record<string, unknown> } }
}

export function rpc (method: string, params: object = {}, id: unknown = 1): object {
  return { jsonrpc: '2.0', id, method, params }
}

export function tool (name: string, args: object = {}, id: unknown = 1): object {
  return rpc('tools/call', { name, arguments: args }, id)
}

/** A 2026-07-28 request and the headers it takes. */
export function modernTool (name: string, args: object = {}, meta: object = {}): [object, Record<string, string>] {
  return [rpc('tools/call', { name, arguments: args, _meta: { ...envelope, ...meta } }), modernHeaders('tools/call', name)]
}

export function modernHeaders (method: string, name?: string): Record<string, string> {
  return { 'mcp-protocol-version': modern, 'mcp-method': method, ...(name === undefined ? {} : { 'mcp-name': name }) }
}

/** Reads an answer to its end; of an event stream the last message. */
export async function read (response: Response): Promise<Wire> {
  const text = await response.text()
  const last = /^(event|id|:)/.test(text) ? text.split('data: ').at(-1) ?? '' : text
  return { status: response.status, type: response.headers.get('content-type') ?? '', text, body: last === '' ? {} : JSON.parse(last) as Wire['body'] }
}

/** The header of a new session. */
export async function openSession (gateway: TestGateway, token: string, version = '2025-11-25', path = '/mcp/fixture', capabilities: object = {}): Promise<{ 'mcp-session-id': string }> {
  const response = await gateway.post(path, token, rpc('initialize', { protocolVersion: version, capabilities, clientInfo: { name: 'raw', version: '1' } }))
  await response.text()
  return { 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' }
}
