import type { FastifyReply, FastifyRequest } from 'fastify'
import { Call } from '../../src/call.ts'
import type { Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { event } from '../../src/protocol/sse.ts'
import { parseStrict } from '../../src/protocol/strict-json.ts'
import { arrivalOf, messagesOf, walk } from './exchange.ts'
import type { Gate, Step } from './gate.ts'
import { letGo } from './let-go.ts'
import { mustHaveRoom, mustReach, sessionEntry } from './open.ts'
import { SseConnection, SseReply } from './sse-connection.ts'

type Handler = (request: FastifyRequest, reply: FastifyReply) => void

/**
 * The HTTP+SSE transport of 2024-11-05: GET opens the stream, POST to the address that its first event names sends a
 * message. The messages walk the pipeline that all others walk.
 */
export function sse (gate: Gate, pipeline: readonly Step[]): { open: Handler, message: Handler } {
  const connections = new Map<string, SseConnection>()
  return { open, message }

  function open (request: FastifyRequest, reply: FastifyReply): void {
    const { principal } = request
    const accept = request.headers.accept ?? '*/*'
    const { upstream } = request.params as { upstream?: string }
    if (!accept.includes('text/event-stream') && !accept.includes('*/*')) throw new Refusal('PORTCULLIS_NOT_ACCEPTABLE', { message: 'A GET opens an event stream: accept text/event-stream.' })
    mustReach(gate, principal, upstream)
    mustHaveRoom(gate, principal)
    gate.ledger.append(sessionEntry(gate, request, undefined))
    reply.hijack()
    const { raw } = reply
    const connection = new SseConnection(raw, principal, upstream)
    const remove = listen(connection, request.headers.authorization)
    connections.set(connection.id, connection)
    raw.on('error', () => {}) // the client left; there is nobody to tell
    const leave = (): void => {
      remove()
      connections.delete(connection.id)
      connection.leave()
      endSession(connection)
    }
    if (raw.destroyed) return leave() // while it was authenticated
    raw.once('close', leave)
    connection.begin()
  }

  function message (request: FastifyRequest, reply: FastifyReply): void {
    const { sessionId } = request.query as { sessionId?: unknown }
    if (typeof sessionId !== 'string') throw new Refusal('PORTCULLIS_SESSION_REQUIRED', { message: 'This address takes messages of an open stream: GET it first, and post to the address that the first event names. Streamable HTTP is at /mcp.' })
    const { upstream } = request.params as { upstream?: string }
    const connection = connections.get(sessionId)
    if (connection === undefined || connection.principal.id !== request.principal.id || connection.upstream !== upstream) throw new Refusal('PORTCULLIS_SESSION_NOT_FOUND')
    const { body } = request
    if (!Buffer.isBuffer(body)) throw new Refusal('PORTCULLIS_UNSUPPORTED_MEDIA_TYPE')
    const arrival = { ...arrivalOf(request, body.length), headers: headersOf(request, connection) }
    const calls = messagesOf(gate, arrival, parseStrict(body)).map((given) => callOf(connection, gate.ledger.newRecord(), arrival, given))
    connection.expect(calls)
    void reply.code(202).header('cache-control', 'no-store').type('text/plain').send('Accepted')
    for (const call of calls) void walk(gate, pipeline, call)
  }

  function listen (connection: SseConnection, authorization: string | undefined): () => void {
    const stream = {
      principal: connection.principal,
      authorization,
      get session () { return sessionOf(connection) },
      endpoint: connection.upstream,
      wants: undefined,
      resources: undefined,
      meta: undefined,
      send: (text: string) => { connection.send(event(text)) },
      comment: (text: string) => connection.send(text),
      end: () => {
        remove()
        connection.end()
      },
    }
    const remove = gate.streams.add(stream)
    return remove
  }

  function sessionOf ({ sessionId, principal }: SseConnection): ReturnType<Gate['sessions']['find']> {
    return sessionId === undefined ? undefined : gate.sessions.find(sessionId, principal)
  }

  function endSession (connection: SseConnection): void {
    const session = sessionOf(connection)
    if (session === undefined) return
    void gate.endedSessions.end(session)
    letGo(gate, session)
  }
}

/** The session is that of the connection, whatever the client's headers say. */
function headersOf (request: FastifyRequest, { sessionId }: SseConnection): Readonly<Record<string, string | string[] | undefined>> {
  return { ...request.headers, 'mcp-session-id': sessionId, 'mcp-protocol-version': undefined }
}

function callOf (connection: SseConnection, record: string, arrival: Call['arrival'] & { readonly principal: Principal }, given: { value: unknown, text: string, exotic: boolean }): Call {
  const reply = new SseReply(connection)
  const call = new Call(record, arrival, reply, given)
  reply.call = call
  return call
}
