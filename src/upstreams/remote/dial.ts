import { isIP } from 'node:net'
import { Agent, buildConnector } from 'undici'
import type { RemoteSpec } from '../../config/config.ts'
import { follow, meaning } from '../../egress/connection.ts'
import type { RecordConnection } from '../../egress/connection.ts'
import { judgeOf } from '../../egress/decide.ts'
import type { Resolve } from '../../egress/decide.ts'

export interface Dialling {
  readonly remote: RemoteSpec
  readonly record: RecordConnection
  readonly resolve?: Resolve | undefined
}

const connectTimeoutMs = 10_000
/** Streams stay open as long as something comes within this time; calls have limits of their own. */
const silenceMs = 0
const maxConnections = 128

/**
 * Connections to one remote server and nowhere else. Its name is resolved here, each address is judged, and the address
 * that was judged is the one that is dialled, so that no name can lead elsewhere a moment later.
 */
export function dialler ({ remote, record, resolve }: Dialling): Agent {
  const { host, port } = endpointOf(new URL(remote.url))
  const judge = judgeOf({ allow: [{ host, port }], private: remote.private }, resolve)
  const connect = buildConnector({ timeout: connectTimeoutMs })
  return new Agent({
    connections: maxConnections,
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    connect: (options, callback) => {
      const asked = options.port === '' ? port : Number(options.port)
      judge(options.hostname, asked).then(async (verdict) => {
        const ended = await record(verdict)
        if (!verdict.allowed) throw new Error(`${verdict.host} is not connected to: ${verdict.reason}`)
        connect({ ...options, hostname: verdict.address, servername: isIP(host) === 0 ? host : '' }, (...made) => {
          const [failure, socket] = made
          if (failure !== null) ended({ ...meaning(failure), bytesIn: 0, bytesOut: 0 })
          else follow(socket, ended)
          callback(...made)
        })
      }).catch((error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null))
    },
  })
}

function endpointOf (url: URL): { host: string, port: number } {
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, ''), port: url.port === '' ? url.protocol === 'https:' ? 443 : 80 : Number(url.port) }
}
