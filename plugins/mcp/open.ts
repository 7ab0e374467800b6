import type { FastifyReply, FastifyRequest } from 'fastify'
import { Refusal } from '../../src/errors.ts'
import { event, streamHeaders } from '../../src/protocol/sse.ts'
import type { Session } from '../../src/sessions.ts'
import type { Gate } from './gate.ts'

const maxBuffered = 1024 * 1024

/** GET: a legacy session's stream for what upstreams say outside of any answer. One a session. */
export function open (gate: Gate): (request: FastifyRequest, reply: FastifyReply) => void {
  return (request, reply) => {
    const session = sessionOf(gate, request)
    const accept = request.headers.accept ?? '*/*'
    if (!accept.includes('text/event-stream') && !accept.includes('*/*')) throw new Refusal('PORTCULLIS_NOT_ACCEPTABLE', { message: 'A GET opens an event stream: accept text/event-stream.' })
    if (gate.streams.ofSession(session) !== undefined) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: 'This session has a stream open already.' })
    reply.hijack()
    const { raw } = reply
    raw.writeHead(200, [...streamHeaders])
    raw.flushHeaders()
    const { upstream } = request.params as { upstream?: string }
    const remove = gate.streams.add({
      principal: request.principal,
      authorization: request.headers.authorization,
      session,
      endpoint: upstream,
      wants: undefined,
      meta: undefined,
      send: (message) => { if (raw.writableLength < maxBuffered) raw.write(event(message)) },
      comment: (text) => { raw.write(text) },
      end: () => { raw.end() },
    })
    raw.once('close', remove)
  }
}

/** DELETE: the client ends its session. */
export function close (gate: Gate): (request: FastifyRequest, reply: FastifyReply) => void {
  return (request, reply) => {
    const session = sessionOf(gate, request)
    gate.sessions.end(session)
    gate.streams.ofSession(session)?.end()
    gate.ledger.append({
      kind: 'session',
      record: gate.ledger.newRecord(),
      principal: { id: request.principal.id, name: request.principal.name },
      token: request.principal.tokenId,
      client: session.clientLabel,
      session: session.label,
      source: request.ip,
      era: session.version,
      method: 'DELETE',
      outcome: 'ok',
    })
    void reply.code(204).send()
  }
}

function sessionOf (gate: Gate, request: FastifyRequest): Session {
  const id = request.headers['mcp-session-id']
  if (typeof id !== 'string') throw new Refusal('PORTCULLIS_SESSION_REQUIRED')
  const session = gate.sessions.find(id, request.principal)
  if (session === undefined) throw new Refusal('PORTCULLIS_SESSION_NOT_FOUND')
  return session
}
