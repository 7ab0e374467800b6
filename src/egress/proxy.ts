import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { NetworkSpec } from '../config/config.ts'
import { judgeOf } from './decide.ts'
import type { Resolve, Verdict } from './decide.ts'
import { forward } from './forward.ts'
import { Pace } from './pace.ts'
import { openSocket } from './socket.ts'
import { dial, join } from './tunnel.ts'

export interface EgressOptions {
  readonly network: NetworkSpec
  /** Hears of every connection before anything is dialled; when it fails, nothing is. */
  readonly record: (verdict: Verdict) => Promise<void>
  readonly resolve?: Resolve
}

/** The one way out of one cell. */
export interface Egress {
  /** Path of the socket to show to the cell: whoever reaches it is that cell. */
  readonly socket: string
  /** Ends every connection. Idempotent. */
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
  const open = new Set<Duplex>()
  const server = createServer({ headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs }, (request, response) => { void plain(request, response) })
  server.maxConnections = maxConnections
  server.on('connection', (socket: Socket) => keep(socket))
  server.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) => { void tunnel(request, socket, head) })
  server.on('clientError', (_error, socket) => socket.destroy())
  const { path, close } = await openSocket(server)
  return {
    socket: path,
    close: async () => {
      for (const socket of open) socket.destroy()
      await close()
    },
  }

  async function tunnel (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy())
    const wanted = authority(request.url ?? '')
    if (wanted === undefined) return answer(socket, 400, 'CONNECT wants host:port.')
    try {
      const verdict = await decide(wanted.host, wanted.port)
      if (!verdict.allowed) return answer(socket, 403, sentence(verdict))
      const remote = keep(await dial(verdict.address, verdict.port))
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      remote.write(head)
      join(socket, remote)
      if (socket.destroyed) remote.destroy()
    } catch {
      answer(socket, 502, `${wanted.host}:${wanted.port} could not be reached.`)
    }
  }

  async function plain (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = URL.canParse(request.url ?? '') ? new URL(request.url ?? '') : undefined
    if (url?.protocol !== 'http:') return refuse(response, 400, 'A proxy wants an absolute http:// address; use CONNECT for https.')
    try {
      const verdict = await decide(url.hostname, Number(url.port === '' ? 80 : url.port))
      if (!verdict.allowed) return refuse(response, 403, sentence(verdict))
      await forward(request, response, url, verdict.address)
    } catch {
      if (response.headersSent) response.destroy()
      else refuse(response, 502, `${url.host} could not be reached.`)
    }
  }

  async function decide (host: string, port: number): Promise<Verdict> {
    await pace.turn()
    const verdict = await judge(host, port)
    await record(verdict)
    return verdict
  }

  function keep<Kept extends Duplex> (socket: Kept): Kept {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    return socket
  }
}

/** `host:port` as CONNECT has it. */
function authority (text: string): { host: string, port: number } | undefined {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]/?#@\s]+):(\d{1,5})$/.exec(text)
  const port = Number(parts?.[2])
  return parts?.[1] === undefined || port < 1 || port > 65_535 ? undefined : { host: parts[1], port }
}

function sentence ({ host, port, ...verdict }: Verdict): string {
  return `${host}:${port} is refused by the gateway: ${verdict.allowed ? '' : verdict.reason}.`
}

function refuse (response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(`${text}\n`)
}

const phrases: Readonly<Record<number, string>> = { 400: 'Bad Request', 403: 'Forbidden', 502: 'Bad Gateway' }

function answer (socket: Duplex, status: number, text: string): void {
  if (!socket.destroyed) socket.end(`HTTP/1.1 ${status} ${phrases[status] ?? ''}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`)
}
