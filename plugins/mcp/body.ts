import type { FastifyContentTypeParser } from 'fastify'
import { Refusal } from '../../src/errors.ts'

/**
 * Reads the body of a request, at most `limit` bytes. It is handed on with its last byte, as Content-Length announces it
 * (node:http holds a client to that); only a chunked body has to wait for the end of the stream.
 */
export function readBody (limit: number): FastifyContentTypeParser {
  return (request, payload, done) => {
    const announced = Number(request.headers['content-length'])
    if (announced > limit) throw tooLarge(limit)
    const chunks: Buffer[] = []
    let length = 0
    payload.on('data', take)
    payload.on('end', end)
    payload.on('error', end)

    function take (chunk: Buffer): void {
      length += chunk.length
      if (length > limit) return end(tooLarge(limit))
      chunks.push(chunk)
      if (length === announced) end()
    }

    /** The listeners go: what they hold would live as long as the stream, and V8 moves that to where it is costly to collect. */
    function end (error: Error | null = null): void {
      payload.removeListener('data', take)
      payload.removeListener('end', end)
      payload.removeListener('error', end)
      if (error === null) done(null, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))
      else done(error)
    }
  }
}

function tooLarge (limit: number): Refusal {
  return new Refusal('PORTCULLIS_BODY_TOO_LARGE', { message: `The request body is larger than ${limit} bytes.` })
}
