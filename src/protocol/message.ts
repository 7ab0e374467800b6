import { Refusal } from '../errors.ts'

/** JSON-RPC id as MCP allows it: string or integer, never null. Its JSON type is kept when it is echoed. */
export type RequestId = string | number

export type Params = Readonly<Record<string, unknown>>

export type Message =
  | { readonly kind: 'request', readonly id: RequestId, readonly method: string, readonly params: Params }
  | { readonly kind: 'notification', readonly method: string, readonly params: Params }
  | { readonly kind: 'response', readonly id: RequestId }

const noParams: Params = Object.freeze({})

/**
 * Reads one JSON-RPC message from parsed JSON.
 * @throws Refusal PORTCULLIS_INVALID_REQUEST that says which member is wrong
 */
export function readMessage (value: unknown): Message {
  if (!isObject(value)) return invalid('A JSON-RPC message is an object.')
  if (value['jsonrpc'] !== '2.0') return invalid('"jsonrpc" must be "2.0".')
  const { id, method, params } = value
  if (id !== undefined && !isRequestId(id)) return invalid('"id" must be a string or an integer.')
  if (method === undefined) return readResponse(value, id)
  if (typeof method !== 'string' || method.length === 0 || method.length > 128) return invalid('"method" must be a string of 1 to 128 characters.')
  if (params !== undefined && !isObject(params)) return invalid('"params" must be an object.')
  const given = params ?? noParams
  if (given['_meta'] !== undefined && !isObject(given['_meta'])) return invalid('"params._meta" must be an object.')
  return id === undefined ? { kind: 'notification', method, params: given } : { kind: 'request', id, method, params: given }
}

/** True for a plain JSON object. */
export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isRequestId (id: unknown): id is RequestId {
  return (typeof id === 'string' && id.length <= 256) || Number.isSafeInteger(id)
}

function readResponse (value: Record<string, unknown>, id: RequestId | undefined): Message {
  const answers = (value['result'] !== undefined ? 1 : 0) + (isObject(value['error']) ? 1 : 0)
  if (answers === 0) return invalid('A message needs a "method", or a "result" or "error" with the "id" it answers.')
  if (answers === 2) return invalid('A response has either a "result" or an "error".')
  if (id === undefined) return invalid('A response needs the "id" it answers.')
  return { kind: 'response', id }
}

function invalid (message: string): never {
  throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message })
}
