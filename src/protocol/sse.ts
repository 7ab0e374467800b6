/** One JSON-RPC message (on one line) as a server-sent event. */
export function event (message: string): string {
  return `event: message\ndata: ${message}\n\n`
}

/** A comment line: keeps proxies and clients from closing a quiet stream. */
export const keepAlive = ': keep-alive\n\n'
export const keepAliveMs = 15_000

/** Response headers of every event stream; X-Accel-Buffering stops reverse proxies from holding events back. */
export const streamHeaders = ['content-type', 'text/event-stream', 'cache-control', 'no-store, no-transform', 'x-accel-buffering', 'no'] as const
