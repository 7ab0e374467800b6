import type { ServerResponse } from 'node:http'
import type { ReplyTo } from '../../src/call.ts'
import { event, streamHeaders } from '../../src/protocol/sse.ts'

/** Bytes that may wait for a slow reader before notifications to it are dropped; answers never are. */
const maxBuffered = 1024 * 1024

/** The client left; there is nobody to tell. */
function nobody (): void {}

/**
 * The answer to one POST. It stays a plain JSON body as long as it can; the first message ahead of an answer turns it
 * into an event stream. The status is not settled before the first message is known.
 */
export class HttpReply implements ReplyTo {
  readonly #raw: ServerResponse
  readonly streams: boolean
  readonly #expected: number
  readonly #batch: boolean
  readonly #bodies: string[] = []
  #finished = 0
  #streaming = false

  /**
   * @param streams the client accepts text/event-stream
   * @param expected how many messages will finish; a batch collects their answers into one array
   */
  constructor (raw: ServerResponse, streams: boolean, expected: number, batch: boolean) {
    this.#raw = raw
    this.streams = streams
    raw.on('error', nobody)
    this.#expected = expected
    this.#batch = batch
  }

  notify (message: string): boolean {
    if (!this.streams || this.#over) return false
    this.#open()
    if (this.#raw.writableLength >= maxBuffered) return false
    this.#raw.write(event(message))
    return true
  }

  comment (text: string): boolean {
    if (this.#over || this.#raw.writableLength >= maxBuffered) return false
    if (this.#streaming) this.#raw.write(text)
    return true
  }

  finish (status: number, body: string | undefined, headers: Readonly<Record<string, string>>): void {
    this.#finished++
    if (this.#over) return
    if (this.#streaming) this.#finishStream(body)
    else if (this.#batch) this.#finishBatch(body)
    else this.#send(status, body, headers)
  }

  get #over (): boolean {
    return this.#raw.writableEnded || this.#raw.destroyed
  }

  #open (): void {
    if (this.#streaming) return
    this.#streaming = true
    this.#raw.writeHead(200, [...streamHeaders])
    for (const body of this.#bodies) this.#raw.write(event(body))
  }

  #finishStream (body: string | undefined): void {
    if (body !== undefined) this.#raw.write(event(body))
    if (this.#finished === this.#expected) this.#raw.end()
  }

  #finishBatch (body: string | undefined): void {
    if (body !== undefined) this.#bodies.push(body)
    if (this.#finished < this.#expected) return
    if (this.#bodies.length === 0) this.#send(202, undefined, {})
    else this.#send(200, `[${this.#bodies.join(',')}]`, {})
  }

  #send (status: number, body: string | undefined, headers: Readonly<Record<string, string>>): void {
    const head = body === undefined
      ? ['content-length', '0']
      : ['content-type', 'application/json', 'content-length', String(Buffer.byteLength(body)), 'cache-control', 'no-store']
    for (const name in headers) head.push(name, headers[name] ?? '')
    this.#raw.writeHead(status, head)
    this.#raw.end(body)
  }
}
