import type { FastifyReply, FastifyRequest } from 'fastify'
import { Call } from '../../src/call.ts'
import type { Arrival } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { isModernVersion } from '../../src/protocol/era.ts'
import { isObject } from '../../src/protocol/message.ts'
import { hasEnvelope } from '../../src/protocol/modern.ts'
import { failure } from '../../src/protocol/reply.ts'
import { parseStrict } from '../../src/protocol/strict-json.ts'
import type { StrictJson } from '../../src/protocol/strict-json.ts'
import type { Gate, Step } from './gate.ts'
import { HttpReply } from './reply.ts'
import { refuse, settle } from './settle.ts'

const maxBatch = 100

/** POST: one message, or a batch where the session's revision has batches; each message walks the pipeline on its own. */
export function post (gate: Gate, pipeline: readonly Step[]): (request: FastifyRequest, reply: FastifyReply) => void {
  return (request, reply) => {
    const body = request.body
    if (!Buffer.isBuffer(body)) throw new Refusal('PORTCULLIS_UNSUPPORTED_MEDIA_TYPE')
    const arrival = arrivalOf(request, body.length)
    const streams = acceptsStream(request.headers.accept)
    const parsed = parseStrict(body)
    const messages = messagesOf(gate, arrival, parsed)
    reply.hijack()
    const answer = new HttpReply(reply.raw, gate, { streams, expected: messages.length, batch: messages[0] !== parsed })
    const calls = messages.map((given) => new Call(gate.ledger.newRecord(), arrival, answer, given))
    if (isModernVersion(request.headers['mcp-protocol-version'])) {
      reply.raw.once('close', () => leave(calls))
      if (reply.raw.destroyed) leave(calls)
    }
    for (const call of calls) void walk(gate, pipeline, call)
  }
}

/** The messages of one body: itself, or those of a batch. */
export function messagesOf (gate: Gate, arrival: Arrival, parsed: StrictJson): readonly StrictJson[] {
  return Array.isArray(parsed.value) ? batchOf(gate, arrival, parsed).map((value) => ({ value, text: '', exotic: false })) : [parsed]
}

/** What all messages of one HTTP request have in common. */
export function arrivalOf (request: FastifyRequest, bytesIn: number): Arrival {
  const { upstream } = request.params as { upstream?: string }
  return { principal: request.principal, source: request.ip, endpoint: upstream, headers: request.headers, bytesIn }
}

/** Walks one message through the steps, in order; whatever happens, it is settled once. */
export async function walk (gate: Gate, pipeline: readonly Step[], call: Call): Promise<void> {
  gate.underWay.add(call)
  try {
    for (const step of pipeline) {
      const pending = step(call)
      if (pending !== undefined) await pending
    }
    settle(gate, call, call.answer ?? { kind: 'nothing' })
  } catch (error) {
    turnDown(gate, call, error)
  } finally {
    gate.underWay.delete(call)
  }
}

/** Whatever goes wrong while a call is refused, its client is answered. */
function turnDown (gate: Gate, call: Call, error: unknown): void {
  try {
    if (!call.settled) return refuse(gate, call, error)
  } catch (cause) {
    error = cause
  }
  gate.log.error({ record: call.record, err: error }, 'a call could not be ended properly')
  call.reply.finish(500, failure(call.id, -32603, 'Internal error of the gateway.', undefined), {})
}

/**
 * The client is gone. For a 2026-07-28 client that cancels its requests; a legacy client may come back, so its calls
 * run on (specification, basic/transports: a disconnect is a cancellation only since 2026-07-28).
 */
function leave (calls: readonly Call[]): void {
  for (const call of calls) if (!call.settled) call.giveUp(new Refusal('PORTCULLIS_CANCELLED'))
}

/** Batches exist in 2025-03-26 only, and initialize is never part of one. */
function batchOf (gate: Gate, arrival: Arrival, { value, exotic }: StrictJson): unknown[] {
  const elements = value as unknown[]
  const id = arrival.headers['mcp-session-id']
  const session = typeof id === 'string' ? gate.sessions.find(id, arrival.principal) : undefined
  if (session?.version !== '2025-03-26') throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: 'Batches are not part of this protocol revision: send one message a request.' })
  if (elements.length === 0 || elements.length > maxBatch) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `A batch has 1 to ${maxBatch} messages.` })
  if (elements.some(isModern)) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: 'A batch cannot hold a request of 2026-07-28: send that message on its own.' })
  // Re-serialised, since the text of the whole batch says nothing about one element's numbers.
  if (exotic) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: 'A batch cannot carry numbers beyond 15 digits or with a fraction or exponent: send that message on its own.' })
  return elements
}

function isModern (element: unknown): boolean {
  return isObject(element) && isObject(element['params']) && hasEnvelope(element['params'])
}

function acceptsStream (accept: string | undefined): boolean {
  if (accept === undefined || accept.includes('*/*')) return true
  const json = accept.includes('application/json') || accept.includes('application/*')
  const stream = accept.includes('text/event-stream') || accept.includes('text/*')
  if (!json && !stream) throw new Refusal('PORTCULLIS_NOT_ACCEPTABLE')
  return stream
}
