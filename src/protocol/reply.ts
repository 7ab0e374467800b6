import type { RequestId } from './message.ts'
import { around } from './spliced.ts'
import type { Json } from './spliced.ts'

/** A successful JSON-RPC response around the JSON text of a result. */
export function success<T extends Json> (id: RequestId, result: T): T extends string ? string : Json
export function success (id: RequestId, result: Json): Json {
  return around(`{"jsonrpc":"2.0","id":${idText(id)},"result":`, result, '}')
}

/** A JSON-RPC error. The id is left out when it could not be read (specification 2026-07-28 forbids null). */
export function failure (id: RequestId | undefined, code: number, message: string, data: unknown): string {
  const error = JSON.stringify(data === undefined ? { code, message } : { code, message, data })
  return id === undefined ? `{"jsonrpc":"2.0","error":${error}}` : `{"jsonrpc":"2.0","id":${idText(id)},"error":${error}}`
}

/** A JSON-RPC request of the gateway to a client, as text. */
export function request (id: RequestId, method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, params })
}

/** A JSON-RPC notification as text. */
export function notification (method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', method, params })
}

function idText (id: RequestId): string {
  return typeof id === 'number' ? String(id) : JSON.stringify(id)
}
