import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { isIP } from 'node:net'
import type { AddressInfo } from 'node:net'

import type { FastifyInstance, preHandlerAsyncHookHandler } from 'fastify'
import type { Registry } from 'prom-client'

import type { Log } from '../src/log.ts'

export interface MetricsPluginOptions {
  readonly registry: Registry
  /** Refuses whoever is not an administrator. */
  readonly authenticateAdmin: preHandlerAsyncHookHandler
}

/** `GET /metrics` on the main port, for an administrator's token. */
export async function metrics (app: FastifyInstance, { registry, authenticateAdmin }: MetricsPluginOptions): Promise<void> {
  app.get('/metrics', { logLevel: 'warn', preHandler: authenticateAdmin }, async (_request, reply) => {
    return reply.type(registry.contentType).header('cache-control', 'no-store').send(await registry.metrics())
  })
}

export interface MetricsServerOptions {
  readonly host: string
  readonly port: number
  readonly registry: Registry
  /** Names a scraper may use in `Host` beside addresses, `localhost`, names without a dot, and `host` itself. */
  readonly hosts?: readonly string[]
  /** What the operator alone may see, as JSON, under `/readyz`. */
  readonly standing: () => Promise<object>
  readonly log: Log
}

export interface MetricsServer {
  /** Where it listens, or undefined when the port could not be had. */
  readonly address: AddressInfo | undefined
  close (): Promise<void>
}

/**
 * A listener for the scraper alone, without a token. A port that cannot be had is a warning and not an error: the gate
 * is worth more than its numbers.
 */
export async function startMetricsServer ({ host, port, registry, hosts = [], standing, log }: MetricsServerOptions): Promise<MetricsServer> {
  const allowed = new Set([...hosts, host, 'localhost'].map(name => name.toLowerCase()))
  const pages: Pages = new Map([
    ['/metrics', { type: registry.contentType, text: async () => await registry.metrics() }],
    ['/readyz', { type: 'application/json; charset=utf-8', text: async () => JSON.stringify(await standing()) }],
  ])
  const server = createServer({ headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 5000 }, (request, response) => {
    answer(request, response, pages, allowed).catch((err: unknown) => {
      log.error({ err }, 'metrics could not be collected')
      if (!response.headersSent) say(response, 500, 'The metrics could not be collected; the log of the gateway says why.\n')
      else response.destroy()
    })
  })
  server.maxConnections = 64
  const failure = await listen(server, host, port)
  if (failure !== undefined) {
    log.warn({ err: failure }, `no metrics listener: ${host}:${port} cannot be used (${failure.code ?? failure.message}); choose another with METRICS_HOST and METRICS_PORT`)
    return { address: undefined, close: () => Promise.resolve() }
  }
  server.on('error', err => log.error({ err }, 'metrics listener'))
  return { address: server.address() as AddressInfo, close: () => close(server) }
}

type Pages = ReadonlyMap<string, { readonly type: string, readonly text: () => Promise<string> }>

async function answer (request: IncomingMessage, response: ServerResponse, pages: Pages, allowed: ReadonlySet<string>): Promise<void> {
  if (!mayBeAddressedAs(request.headers.host, allowed)) return say(response, 403, 'This Host is not served here: use the address or METRICS_HOST.\n')
  const page = pages.get(request.url?.split('?', 1)[0] ?? '')
  if (page === undefined) return say(response, 404, 'There are only /metrics and /readyz here.\n')
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return say(response, 405, 'Only GET and HEAD.\n')
  }
  say(response, 200, await page.text(), page.type)
}

/**
 * A page that rebinds its own name to this address still sends that name as `Host`, and it always has a dot: addresses
 * and single-label names (a container's, `localhost`) cannot be such a name.
 */
function mayBeAddressedAs (header: string | undefined, allowed: ReadonlySet<string>): boolean {
  if (header === undefined) return false
  const name = header.toLowerCase().replace(/:\d+$/, '')
  return allowed.has(name) || isIP(name.replace(/^\[|\]$/g, '')) !== 0 || /^[a-z0-9_-]+$/.test(name)
}

function say (response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  response.end(text)
}

function listen (server: Server, host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise(resolve => {
    server.once('error', resolve)
    server.listen(port, host, () => {
      server.off('error', resolve)
      resolve(undefined)
    })
  })
}

function close (server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
