import { Refusal } from '../errors.ts'
import { isLogLevel, isModernVersion, legacyVersions, meta, modernVersions } from './era.ts'
import type { LogLevel } from './era.ts'
import { isObject } from './message.ts'
import type { Params } from './message.ts'

export interface Envelope {
  readonly version: string
  readonly clientInfo: { readonly name: string, readonly version: string } | undefined
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly logLevel: LogLevel | undefined
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** True when the body itself claims the 2026-07-28 era: the body decides, headers are only compared with it. */
export function hasEnvelope (params: Params): boolean {
  const given = params['_meta']
  return isObject(given) && given[meta.protocolVersion] !== undefined
}

/**
 * Reads and checks the envelope of a 2026-07-28 request against its headers
 * (specification 2026-07-28, basic/transports/streamable-http: version, Mcp-Method and Mcp-Name must equal the body).
 * @throws Refusal PORTCULLIS_HEADER_MISMATCH, PORTCULLIS_UNSUPPORTED_VERSION or PORTCULLIS_INVALID_ENVELOPE
 */
export function readEnvelope (method: string, params: Params, headers: Headers): Envelope {
  const given = params['_meta'] as Record<string, unknown>
  const version = given[meta.protocolVersion]
  const header = single(headers, 'mcp-protocol-version')
  if (header !== version) throw mismatch('MCP-Protocol-Version', header, version)
  if (!isModernVersion(version)) {
    throw new Refusal('PORTCULLIS_UNSUPPORTED_VERSION', {
      message: `Protocol version ${JSON.stringify(version).slice(0, 40)} is not supported.`,
      data: { supported: [...modernVersions, ...legacyVersions], requested: version },
    })
  }
  checkMirrors(method, params, headers)
  const capabilities = given[meta.clientCapabilities]
  if (!isObject(capabilities)) throw invalid(`_meta["${meta.clientCapabilities}"] must be an object.`)
  return { version, capabilities, clientInfo: readClientInfo(given[meta.clientInfo]), logLevel: readLogLevel(given[meta.logLevel]) }
}

/** Decodes a mirrored header value: plain text, or `=?base64?…?=` around base64 of UTF-8; undefined when malformed. */
export function decodeMirror (value: string): string | undefined {
  if (!value.startsWith('=?base64?') || !value.endsWith('?=') || value.length < 11) return value
  const inner = value.slice(9, -2)
  const bytes = Buffer.from(inner, 'base64')
  return bytes.toString('base64') === inner ? bytes.toString('utf8') : undefined
}

/**
 * Compares the Mcp-Param-* headers of a tools/call with the arguments its input schema marks with `x-mcp-header`.
 * The gateway does this on behalf of stdio servers, which never see headers.
 * @throws Refusal PORTCULLIS_HEADER_MISMATCH
 */
export function checkParamHeaders (inputSchema: unknown, args: unknown, headers: Headers): void {
  if (!isObject(inputSchema) || !isObject(inputSchema['properties'])) return
  const given = isObject(args) ? args : {}
  for (const [name, property] of Object.entries(inputSchema['properties'])) {
    if (!isObject(property)) continue
    if (typeof property['x-mcp-header'] === 'string') checkParam(property['x-mcp-header'], given[name], headers)
    else if (property['properties'] !== undefined) checkParamHeaders(property, given[name], headers)
  }
}

function checkParam (suffix: string, value: unknown, headers: Headers): void {
  const name = `mcp-param-${suffix.toLowerCase()}`
  const header = single(headers, name)
  const wanted = value === undefined || value === null ? undefined : typeof value === 'object' ? JSON.stringify(value) : String(value)
  const actual = header === undefined ? undefined : decodeMirror(header)
  if (actual === wanted) return
  if (typeof value === 'number' && actual !== undefined && actual !== '' && Number(actual) === value) return
  throw mismatch(`Mcp-Param-${suffix}`, header, wanted)
}

/** Which member of params Mcp-Name mirrors. */
const named: ReadonlyMap<string, string> = new Map([['tools/call', 'name'], ['prompts/get', 'name'], ['resources/read', 'uri'], ['tasks/get', 'taskId'], ['tasks/update', 'taskId'], ['tasks/cancel', 'taskId']])

function checkMirrors (method: string, params: Params, headers: Headers): void {
  const mirroredMethod = single(headers, 'mcp-method')
  if (mirroredMethod !== method) throw mismatch('Mcp-Method', mirroredMethod, method)
  const member = named.get(method)
  if (member === undefined) return
  const header = single(headers, 'mcp-name')
  if (header === undefined || decodeMirror(header) !== params[member]) throw mismatch('Mcp-Name', header, params[member])
}

function single (headers: Headers, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value.trim() : undefined
}

function readClientInfo (info: unknown): Envelope['clientInfo'] {
  if (info === undefined) return undefined
  if (isObject(info) && typeof info['name'] === 'string' && typeof info['version'] === 'string') return { name: info['name'], version: info['version'] }
  throw invalid(`_meta["${meta.clientInfo}"] needs the strings "name" and "version".`)
}

function readLogLevel (level: unknown): LogLevel | undefined {
  if (level === undefined || isLogLevel(level)) return level
  throw invalid(`_meta["${meta.logLevel}"] must be one of debug, info, notice, warning, error, critical, alert, emergency.`)
}

function mismatch (header: string, given: unknown, expected: unknown): Refusal {
  const shown = (value: unknown): string => value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80)
  return new Refusal('PORTCULLIS_HEADER_MISMATCH', { message: `Header ${header} says ${shown(given)} but the body says ${shown(expected)}.` })
}

function invalid (message: string): Refusal {
  return new Refusal('PORTCULLIS_INVALID_ENVELOPE', { message })
}
