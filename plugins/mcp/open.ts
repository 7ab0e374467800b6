import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Entry } from '../../src/ledger/entry.ts'
import { event, streamHeaders } from '../../src/protocol/sse.ts'
import type { Session } from '../../src/sessions.ts'
import type { Gate } from './gate.ts'
import { hangUp } from './let-go.ts'

/** Bytes that may wait for a slow reader; what is beyond is dropped, and a reader that stays there is hung up on. */
const maxBuffered = 1024 * 1024
/** The same for a reader that takes up a stream again, which gets all that was kept of it at once. */
const maxReplayed = 32 * 1024 * 1024
/** Streams one principal may have open. */
const maxStreams = 100
/** An ended stream whose reader does not let go is cut, after so many milliseconds. */
const lingerMs = 1_000

/**
 * GET: a legacy session's stream for what upstreams say outside of any answer. One a session: a new one takes the
 * place of the old, whose connection may be dead without anybody having noticed. With the id of an event of one of the
 * session's answers, it is the rest of that answer instead.
 */
export function open (gate: Gate): (request: FastifyRequest, reply: FastifyReply) => void {
  return (request, reply) => {
    const session = sessionOf(gate, request)
    const accept = request.headers.accept ?? '*/*'
    if (!accept.includes('text/event-stream') && !accept.includes('*/*')) throw new Refusal('PORTCULLIS_NOT_ACCEPTABLE', { message: 'A GET opens an event stream: accept text/event-stream.' })
    const { upstream } = request.params as { upstream?: string }
    mustReach(gate, request.principal, upstream)
    const { 'last-event-id': lastEventId } = request.headers
    const kept = typeof lastEventId === 'string' ? gate.replays.find(session, lastEventId) : undefined
    if (kept === undefined) gate.streams.ofSession(session)?.end()
    mustHaveRoom(gate, request.principal)
    gate.ledger.append(sessionEntry(gate, request, session))
    reply.hijack()
    const { raw } = reply
    raw.on('error', () => {}) // the client left; there is nobody to tell
    raw.writeHead(200, [...streamHeaders])
    raw.flushHeaders()
    if (kept !== undefined) return kept.replay.resume(kept.after, { write: (text) => writeOrCut(raw, text), end: () => { raw.end() } })
    const remove = gate.streams.add({
      principal: request.principal,
      authorization: request.headers.authorization,
      session,
      endpoint: upstream,
      wants: undefined,
      resources: undefined,
      meta: undefined,
      send: (message) => write(raw, event(message)),
      comment: (text) => write(raw, text),
      end: () => {
        remove()
        raw.end()
        setTimeout(() => raw.destroy(), lingerMs).unref()
      },
    })
    raw.once('close', remove)
    if (raw.destroyed) remove()
  }
}

/** DELETE: the client ends its session, and with it whatever it began. */
export function close (gate: Gate): (request: FastifyRequest, reply: FastifyReply) => void {
  return (request, reply) => {
    const session = sessionOf(gate, request)
    gate.ledger.append(sessionEntry(gate, request, session))
    const ended = gate.endedSessions.end(session)
    hangUp(gate, session)
    void ended.then(() => reply.code(204).send())
  }
}

/** Where nothing is that the principal may know of, there is nothing to listen to. @throws Refusal PORTCULLIS_NOT_FOUND */
export function mustReach ({ config, policy }: Pick<Gate, 'config' | 'policy'>, principal: Principal, upstream: string | undefined): void {
  if (upstream === undefined || (config.upstreams.has(upstream) && policy.reaches(principal, upstream))) return
  throw new Refusal('PORTCULLIS_NOT_FOUND', { message: `There is no upstream "${upstream.slice(0, 64)}" here.` })
}

/** @throws Refusal PORTCULLIS_OVERLOADED when the principal has as many streams open as one may have */
export function mustHaveRoom ({ streams }: Pick<Gate, 'streams'>, principal: Principal): void {
  if (streams.countOf(principal) >= maxStreams) throw new Refusal('PORTCULLIS_OVERLOADED', { message: `You have ${maxStreams} streams open already. Close one.` })
}

/** A reader that does not read is cut off: it can come back for the rest, and nobody's memory fills meanwhile. */
function writeOrCut (raw: ServerResponse, text: string): void {
  if (raw.writableEnded || raw.destroyed) return
  if (raw.writableLength > maxReplayed) raw.destroy()
  else raw.write(text)
}

function write (raw: ServerResponse, text: string): boolean {
  if (raw.writableEnded || raw.destroyed || raw.writableLength >= maxBuffered) return false
  raw.write(text)
  return true
}

/** That a client opened or ended something of its session, for the record. */
export function sessionEntry (gate: Gate, request: FastifyRequest, session: Session | undefined): Entry {
  return {
    kind: 'session',
    record: gate.ledger.newRecord(),
    principal: request.principal,
    token: request.principal.tokenId,
    client: session?.clientLabel,
    session: session?.label,
    source: request.ip,
    era: session === undefined ? '2024-11-05' : session.version,
    method: request.method,
    outcome: 'ok',
    policy: gate.config.version,
  }
}

function sessionOf (gate: Gate, request: FastifyRequest): Session {
  const id = request.headers['mcp-session-id']
  if (typeof id !== 'string') throw new Refusal('PORTCULLIS_SESSION_REQUIRED')
  const session = gate.sessions.find(id, request.principal)
  if (session === undefined) throw new Refusal('PORTCULLIS_SESSION_NOT_FOUND')
  return session
}
