import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { hostname } from 'node:os'
import { connect as connectSecurely } from 'node:tls'

const SEND_MS = 15_000
const DEFAULT_PORT = { 'syslog+tcp:': 601, 'syslog+tls:': 6514 } as const

export interface SyslogMessage {
  readonly time: Date
  readonly record: string
  /** One line, without its end. */
  readonly text: string
  readonly severity: 'warning' | 'informational'
}

/**
 * Messages of RFC 5424, each with its length before it (RFC 6587), on a connection of their own. Syslog has no receipt;
 * what there is, is that the other side has taken everything up to the end of the stream and closed it without an error.
 */
export async function sendSyslog (address: string, messages: readonly SyslogMessage[], signal: AbortSignal): Promise<void> {
  const socket = open(new URL(address))
  const limit = AbortSignal.any([signal, AbortSignal.timeout(SEND_MS)])
  await new Promise<void>((resolve, reject) => {
    const giveUp = (): void => { socket.destroy(new Error('it did not take the messages in time')) }
    limit.addEventListener('abort', giveUp, { once: true })
    socket.once('error', reject)
    socket.once('close', () => {
      limit.removeEventListener('abort', giveUp)
      resolve()
    })
    socket.resume().end(Buffer.concat(messages.map(framed)))
    if (limit.aborted) giveUp()
  })
}

function open ({ protocol, hostname: host, port }: URL): Socket {
  const name = host.replace(/^\[(.*)\]$/, '$1')
  return protocol === 'syslog+tls:' ? connectSecurely({ host: name, port: Number(port) || DEFAULT_PORT[protocol], servername: name }) : connect({ host: name, port: Number(port) || DEFAULT_PORT['syslog+tcp:'] })
}

/** Facility 13: log audit. */
const FACILITY = 13
const SEVERITY = { warning: 4, informational: 6 } as const

function framed ({ time, record, text, severity }: SyslogMessage): Buffer {
  const message = Buffer.from(`<${FACILITY * 8 + SEVERITY[severity]}>1 ${time.toISOString()} ${token(hostname(), 255)} portcullis - ${token(record, 32)} - ${text}`)
  return Buffer.concat([Buffer.from(`${message.length} `), message])
}

/** Printable ASCII without spaces, as the header of a message wants it. */
function token (text: string, most: number): string {
  return text.replaceAll(/[^\x21-\x7e]/g, '').slice(0, most) || '-'
}
