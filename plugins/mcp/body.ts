import type { IncomingMessage } from 'node:http'
import type { FastifyContentTypeParser, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import { refuseEncoded } from '../../src/content-coding.ts'
import { Refusal } from '../../src/errors.ts'
import { ReceivedMessage } from '../../src/received-message.ts'
import { Gathering } from './gathering.ts'

/** `late`: it was not whole yet when its group was acted on. */
type Done = (error: Error | null, body?: Buffer, late?: boolean) => void
type Handler = (request: FastifyRequest, reply: FastifyReply) => void

export interface Measure {
  /** A body has no more. */
  readonly bytes: number
  /** So many bodies of a group are acted on in one turn of the event loop, the others in the next ones. */
  readonly together: number
  /** How many messages are being worked on. */
  underWay (): number
}

/** Reads bodies; one for all routes, so that those who come in together are acted on together, whichever way they came. */
export type Reader = (message: IncomingMessage, done: Done) => void

/**
 * The last hook of a POST: reads its body and hands it to the route's handler at once. Fastify's own
 * way from here to the handler (content types, parser, validation, their hooks) has nothing to do for one media type and
 * no schema, and costs more than the checks of a call do. What the handler throws is answered as everywhere else.
 * @param admit the hook that let the sender in. It is asked again when a body comes late: rights may have ended meanwhile,
 * and whoever holds back the last byte must not act on those of a minute ago
 */
export function receive (read: Reader, admit: onRequestHookHandler, handler: Handler): onRequestHookHandler {
  let known = 'application/json' // the last good one: nearly every request repeats it
  return (request, reply, done) => {
    const type = request.headers['content-type']
    if (type === undefined || (type !== known && !isJson(type))) throw new Refusal('PORTCULLIS_UNSUPPORTED_MEDIA_TYPE')
    known = type
    refuseEncoded(request.headers['content-encoding'])
    read(request.raw, (error, body, late) => {
      if (error !== null) return done(error)
      request.body = body
      if (late !== true) return handle()
      try {
        admit.call(request.server, request, reply, (refused) => { if (refused === undefined) handle(); else done(refused) })
      } catch (thrown) {
        done(thrown as Error)
      }
    })

    function handle (): void {
      try {
        handler(request, reply)
      } catch (thrown) {
        done(thrown as Error)
      }
    }
  }
}

/** The same for whatever else has a body: it is read, and goes the way of Fastify. */
export function readBody (read: Reader): FastifyContentTypeParser {
  return (request, _payload, done) => read(request.raw, done)
}

interface Waiting { readonly message: IncomingMessage, readonly done: Done }

/**
 * Gives a body to `done` with its last byte.
 *
 * Bodies are looked at once a turn of the event loop, when node:http has parsed all that came in: nearly all are complete by
 * then, and taken without being read as a stream. What is done with them is done one behind the other, while the processor
 * still knows the way from the last one, and in groups as large as they come (gathering.ts).
 */
export function reader ({ bytes: limit, together, underWay }: Measure): Reader {
  const waiting: Waiting[] = []
  const group = new Gathering(underWay)
  let rest = 0 // of the group that is acted on
  return (message, done) => {
    if (Number(message.headers['content-length']) > limit) return done(tooLarge(limit))
    if (waiting.push({ message, done }) === 1) setImmediate(readAll)
  }

  function readAll (): void {
    if (rest === 0 && group.release(waiting.length)) rest = waiting.length
    const batch = waiting.splice(0, Math.min(rest, together))
    rest -= batch.length
    if (waiting.length > 0) setImmediate(readAll)
    for (const one of batch) {
      try {
        readOne(one)
      } catch (thrown) {
        process.nextTick(() => { throw thrown }) // what goes wrong with one of them does not keep the others waiting
      }
    }
  }

  function readOne ({ message, done }: Waiting): void {
    const whole = message instanceof ReceivedMessage ? message.takeWhole() : undefined
    if (whole !== undefined && whole.length <= limit) done(null, whole)
    else if (whole !== undefined) done(tooLarge(limit)) // chunked: nothing announced it
    else if (message.destroyed) done(message.errored ?? leftEarly()) // nothing will be heard of it any more
    else readOn(message, limit, done)
  }
}

function isJson (type: string): boolean {
  return /^application\/json\s*(?:;|$)/i.test(type.trimStart())
}

/** With the last byte that Content-Length announces (node:http holds a client to that); a chunked body has to wait for the end of the stream. */
function readOn (message: IncomingMessage, limit: number, done: Done): void {
  const announced = Number(message.headers['content-length'])
  const chunks: Buffer[] = []
  let length = 0
  message.on('data', take)
  message.on('end', end)
  message.on('error', end)

  function take (chunk: Buffer): void {
    length += chunk.length
    if (length > limit) return end(tooLarge(limit))
    chunks.push(chunk)
    if (length === announced) end()
  }

  /** The listeners go: what they hold would live as long as the stream, and V8 moves that to where it is costly to collect. */
  function end (error: Error | null = null): void {
    message.removeListener('data', take)
    message.removeListener('end', end)
    message.removeListener('error', end)
    if (error === null) done(null, Buffer.concat(chunks), true)
    else done(error)
  }
}

function leftEarly (): Error {
  return Object.assign(new Error('the client left before its message was complete'), { code: 'ECONNRESET' })
}

function tooLarge (limit: number): Refusal {
  return new Refusal('PORTCULLIS_BODY_TOO_LARGE', { message: `The request body is larger than ${limit} bytes.` })
}
