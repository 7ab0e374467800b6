import { PassThrough } from 'node:stream'
import type { Cell, Exit } from '../../sandbox/cell.ts'
import { noUsage } from '../../sandbox/processes.ts'
import { LineReader } from '../frames.ts'
import { dialler } from './dial.ts'
import type { Dialling } from './dial.ts'
import { Remote } from './remote.ts'

export interface RemoteOptions extends Dialling {
  /** Sent with every request: the gateway's own credentials for this server, with their references resolved. */
  readonly headers: Readonly<Record<string, string>>
  /** Bytes one message of the server may have. */
  readonly maxMessage: number
  /** Bytes one message to the server may have. */
  readonly maxRequest: number
  /** Milliseconds the server may take to begin a session. */
  readonly startMs: number
}

/**
 * A remote server as a cell: what is written to its stdin is posted, what the server answers comes out of its stdout,
 * one message a line. Everything above works as it does for a process.
 */
export function openRemote (options: RemoteOptions): Cell {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const agent = dialler(options)
  let end: (exit: Exit) => void = () => {}
  const exited = new Promise<Exit>((resolve) => { end = resolve })
  let ended = false
  const remote = new Remote({
    agent,
    url: new URL(options.remote.url),
    headers: options.headers,
    maxMessage: options.maxMessage,
    startMs: options.startMs,
    line: (line) => { if (!stdout.writableEnded) stdout.write(line) },
    note: (text) => { if (!stderr.writableEnded) stderr.write(`${text}\n`) },
    gone: (reason) => {
      if (!ended) stderr.write(`${reason}\n`)
      finish({ code: null, signal: null, detail: reason })
    },
  })
  const reader = new LineReader(options.maxRequest, (line) => remote.post(line.toString('utf8')), refuse)
  stdin.on('data', (chunk: Buffer) => reader.push(chunk))
  return {
    pid: 0,
    stdin,
    stdout,
    stderr,
    exited,
    stop: async (graceMs) => {
      if (!ended) await remote.leave(graceMs)
      finish({ code: 0, signal: null })
    },
    kill: () => finish({ code: null, signal: 'SIGKILL' }),
    usage: async () => noUsage,
  }

  /** Nobody waits for what was not sent. The channel writes the id at the front. */
  function refuse (head: Buffer): void {
    const id = /^\{"jsonrpc":"2\.0","id":(\d+),"method"/.exec(head.toString('latin1'))?.[1]
    if (id !== undefined) stdout.write(`{"jsonrpc":"2.0","id":${id},"error":{"code":413,"message":"The request is larger than the gateway sends to a remote server."}}\n`)
  }

  function finish (exit: Exit): void {
    if (ended) return
    ended = true
    remote.close()
    stdout.end()
    stderr.end()
    agent.destroy().catch(() => {}) // nobody uses its connections any more
    end(exit)
  }
}
