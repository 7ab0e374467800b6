import { meta } from '../../protocol/era.ts'
import { isObject } from '../../protocol/message.ts'
import type { Params } from '../../protocol/message.ts'

/** What a message says that the transport repeats in headers. */
export interface Outgoing { readonly id: unknown, readonly method: string | undefined, readonly params: Params }

/** Which member of params Mcp-Name mirrors (specification 2026-07-28, basic/transports/streamable-http). */
const named: ReadonlyMap<string, string> = new Map([['tools/call', 'name'], ['prompts/get', 'name'], ['resources/read', 'uri'], ['tasks/get', 'taskId'], ['tasks/update', 'taskId'], ['tasks/cancel', 'taskId']])

/** The headers a 2026-07-28 server compares with the body; undefined when the message is of the session era. */
export function mirrorHeaders ({ method = '', params }: Outgoing, inputSchema: unknown): Record<string, string> | undefined {
  const envelope = params['_meta']
  const version = isObject(envelope) ? envelope[meta.protocolVersion] : undefined
  if (typeof version !== 'string') return undefined
  const member = named.get(method)
  const name = member === undefined ? undefined : params[member]
  return {
    'mcp-protocol-version': version,
    'mcp-method': method,
    ...(typeof name === 'string' ? { 'mcp-name': encode(name) } : {}),
    ...(method === 'tools/call' ? Object.fromEntries(paramHeaders(inputSchema, params['arguments'])) : {}),
  }
}

/** Arguments that the tool's schema wants repeated in a header of their own. */
function * paramHeaders (schema: unknown, args: unknown): Generator<[string, string]> {
  if (!isObject(schema) || !isObject(schema['properties']) || !isObject(args)) return
  for (const [name, property] of Object.entries(schema['properties'])) {
    const value = args[name]
    if (!isObject(property) || value === undefined || value === null) continue
    const header = property['x-mcp-header']
    if (typeof header === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(header) && typeof value !== 'object') yield [`mcp-param-${header.toLowerCase()}`, encode(String(value))]
    else if (header === undefined) yield * paramHeaders(property, value)
  }
}

/** Plain where a header can carry it, otherwise base64 of UTF-8 between marks. */
function encode (value: string): string {
  const isPlain = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/.test(value) && !(value.startsWith('=?base64?') && value.endsWith('?='))
  return isPlain ? value : `=?base64?${Buffer.from(value).toString('base64')}?=`
}
