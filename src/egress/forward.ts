import { once } from 'node:events'
import { request as send } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { pipeline } from 'node:stream/promises'

const answerMs = 60_000

/** Headers that are about one connection and not about the message (RFC 9110, 7.6.1), and the proxy's own. */
const perHop = ['connection', 'proxy-connection', 'proxy-authorization', 'proxy-authenticate', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']

/**
 * Sends one plain HTTP request on over a connection to where it may go, under the name that was judged: what the request
 * itself says in Host does not count. The connection ends with it. @throws when there is no answer
 */
export async function forward (request: IncomingMessage, response: ServerResponse, url: URL, remote: Socket): Promise<void> {
  remote.setTimeout(answerMs)
  const outgoing = send({ createConnection: () => remote, method: request.method, path: url.pathname + url.search, headers: { ...passable(request), host: url.host } })
  response.once('close', () => outgoing.destroy())
  const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>
  const [, [answer]] = await Promise.all([pipeline(request, outgoing), answered])
  response.writeHead(answer.statusCode ?? 502, passable(answer))
  await pipeline(answer, response)
}

function passable ({ headers }: IncomingMessage): Record<string, string | string[]> {
  const named = (headers.connection ?? '').toLowerCase().split(',').map((name) => name.trim())
  return Object.fromEntries(Object.entries(headers).filter((header): header is [string, string | string[]] => header[1] !== undefined && !perHop.includes(header[0]) && !named.includes(header[0])))
}
