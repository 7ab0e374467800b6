import { around } from './spliced.ts'
import type { Json } from './spliced.ts'

/** One JSON-RPC message (on one line) as a server-sent event; with an id, the stream can be taken up after it. */
export function event<T extends Json> (message: T, id?: string): T extends string ? string : Json
export function event (message: Json, id?: string): Json {
  return around(`${id === undefined ? '' : `id: ${id}\n`}event: message\ndata: `, message, '\n\n')
}

/** Milliseconds a client waits before it takes a stream up again. */
const retryMs = 1000

/** An event that says nothing but where the stream begins (specification 2025-11-25, basic/transports). */
export function primer (id: string): string {
  return `id: ${id}\nretry: ${retryMs}\ndata: \n\n`
}

/** Says when to come back, ahead of hanging up (specification 2025-11-25, basic/transports). */
export const comeBack = `retry: ${retryMs}\n\n`

/** The first event of a 2024-11-05 stream: where messages are posted (specification 2024-11-05, basic/transports). */
export function endpointEvent (address: string): string {
  return `event: endpoint\ndata: ${address}\n\n`
}

/** A comment line: keeps proxies and clients from closing a quiet stream. */
export const keepAlive = ': keep-alive\n\n'
export const keepAliveMs = 15_000

/** Response headers of every event stream; X-Accel-Buffering stops reverse proxies from holding events back. */
export const streamHeaders = ['content-type', 'text/event-stream', 'cache-control', 'no-store, no-transform', 'x-accel-buffering', 'no'] as const
