import { setMaxListeners } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { NetworkSpec } from '../config/config.ts'
import { connected, dial, Stopped } from './connection.ts'
import type { RecordConnection } from './connection.ts'
import { judgeOf } from './decide.ts'
import type { Allowed, Resolve, Verdict } from './decide.ts'
import { forward } from './forward.ts'
import { Pace } from './pace.ts'
import { openSocket } from './socket.ts'
import { join } from './tunnel.ts'

export interface EgressOptions {
  readonly network: NetworkSpec
  readonly record: RecordConnection
  readonly resolve?: Resolve
}

/** The one way out of one cell. */
export interface Egress {
  /** Path of the socket to show to the cell: whoever reaches it is that cell. */
  readonly socket: string
  /** Ends every connection; when it returns, the end of each was told. Idempotent. */
  close (): Promise<void>
}

/** Connections of one cell at a time; more are hung up on. */
const maxConnections = 64
const headersTimeoutMs = 10_000
/** How long a plain request may take as a whole; tunnels have no such limit. */
const requestTimeoutMs = 300_000

/**
 * An HTTP proxy for one cell on a socket of its own: CONNECT for TLS, absolute addresses for plain HTTP. It connects to
 * what the network policy names and to nothing else.
 */
export async function openEgress ({ network, record, resolve }: EgressOptions): Promise<Egress> {
  const judge = judgeOf(network, resolve)
  const pace = new Pace(100, 20)
  const closing = new AbortController()
  setMaxListeners(maxConnections * 4, closing.signal)
  const open = new Set<Duplex>()
  /** What is not over yet: requests that are decided or dialled for, connections that are open. */
  const pending = new Set<Promise<void>>()
  const server = createServer({ headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs }, (request, response) => { follow(plain(request, response)) })
  server.maxConnections = maxConnections
  server.on('connection', (socket: Socket) => keep(socket))
  server.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) => { follow(tunnel(request, socket, head)) })
  server.on('clientError', (_error, socket) => socket.destroy())
  const { path, close } = await openSocket(server)
  return {
    socket: path,
    close: async () => {
      closing.abort()
      for (const socket of open) socket.destroy()
      await close()
      while (pending.size > 0) await Promise.all(pending)
    },
  }

  async function tunnel (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy())
    const wanted = authority(request.url ?? '')
    if (wanted === undefined) return answer(socket, 400, 'CONNECT wants host:port.')
    try {
      const way = await ask(wanted.host, wanted.port)
      if ('reason' in way) return answer(socket, 403, way.reason)
      await connected(way.remote)
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      way.remote.write(head)
      join(socket, way.remote)
      if (socket.destroyed) way.remote.destroy()
    } catch {
      answer(socket, 502, `${wanted.host}:${wanted.port} could not be reached.`)
    }
  }

  async function plain (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = URL.canParse(request.url ?? '') ? new URL(request.url ?? '') : undefined
    if (url?.protocol !== 'http:') return refuse(response, 400, 'A proxy wants an absolute http:// address; use CONNECT for https.')
    try {
      const way = await ask(url.hostname, Number(url.port === '' ? 80 : url.port))
      if ('reason' in way) return refuse(response, 403, way.reason)
      await connected(way.remote)
      await forward(request, response, url, way.remote)
    } catch {
      if (response.headersSent) response.destroy()
      else refuse(response, 502, `${url.host} could not be reached.`)
    }
  }

  /** A connection that is being made, or why there is none; either is on the record. */
  async function ask (host: string, port: number): Promise<{ readonly remote: Socket } | { readonly reason: string }> {
    await pace.turn(closing.signal)
    const verdict = await judge(host, port)
    const ended = await record(verdict)
    if (!verdict.allowed) return { reason: sentence(verdict) }
    const remote = dial(verdict, ended)
    const cancel = (): void => { remote.destroy(new Stopped('cancelled')) }
    follow(new Promise((resolve) => remote.once('close', () => { closing.signal.removeEventListener('abort', cancel); resolve() })))
    if (closing.signal.aborted) cancel()
    else closing.signal.addEventListener('abort', cancel)
    return { remote }
  }

  function keep (socket: Socket): void {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  }

  function follow (work: Promise<void>): void {
    pending.add(work)
    void work.finally(() => pending.delete(work))
  }
}

/** `host:port` as CONNECT has it. */
function authority (text: string): { host: string, port: number } | undefined {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]/?#@\s]+):(\d{1,5})$/.exec(text)
  const port = Number(parts?.[2])
  return parts?.[1] === undefined || port < 1 || port > 65_535 ? undefined : { host: parts[1], port }
}

function sentence ({ host, port, reason }: Exclude<Verdict, Allowed>): string {
  return `${host}:${port} is refused by the gateway: ${reason}.`
}

function refuse (response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(`${text}\n`)
}

const phrases: Readonly<Record<number, string>> = { 400: 'Bad Request', 403: 'Forbidden', 502: 'Bad Gateway' }

function answer (socket: Duplex, status: number, text: string): void {
  if (!socket.destroyed) socket.end(`HTTP/1.1 ${status} ${phrases[status] ?? ''}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`)
}
