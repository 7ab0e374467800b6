import type { ServerResponse } from 'node:http'
import type { ReplyTo } from '../../src/call.ts'
import { byteLength, Spliced, writeTo } from '../../src/protocol/spliced.ts'
import type { Json } from '../../src/protocol/spliced.ts'
import { event, keepAlive, streamHeaders } from '../../src/protocol/sse.ts'
import type { Session } from '../../src/sessions.ts'
import type { Gate } from './gate.ts'
import type { Waiting } from './patience.ts'
import type { Replay } from './replays.ts'

/** Bytes that may wait for a slow reader before notifications to it are dropped; answers never are. */
const maxBuffered = 1024 * 1024

/** The client left; there is nobody to tell. */
function nobody (): void {}

/**
 * The answer to one POST. It stays a plain JSON body as long as it can; the first message ahead of an answer turns it
 * into an event stream, and so does silence. The status is not settled before.
 */
export class HttpReply implements ReplyTo, Waiting {
  readonly #raw: ServerResponse
  readonly #gate: Pick<Gate, 'replays' | 'patience'>
  readonly streams: boolean
  place = -1
  since = 0
  said = 0
  readonly #expected: number
  readonly #batch: boolean
  readonly #bodies: string[] = []
  #finished = 0
  #streaming = false
  #session: Session | undefined
  #replay: Replay | undefined

  /**
   * @param options.streams the client accepts text/event-stream
   * @param options.expected how many messages will finish; a batch collects their answers into one array
   */
  constructor (raw: ServerResponse, gate: Pick<Gate, 'replays' | 'patience'>, { streams, expected, batch }: { streams: boolean, expected: number, batch: boolean }) {
    this.#raw = raw
    this.#gate = gate
    this.streams = streams
    this.#expected = expected
    this.#batch = batch
  }

  keep (session: Session | undefined): void {
    this.#session = session
    if (this.streams) this.#gate.patience.add(this, performance.now())
  }

  hold (): void {
    if (this.#session !== undefined && !this.#over) this.#open()
  }

  keepAlive (): void {
    if (!this.#over) this.#open()
    this.comment(keepAlive)
  }

  notify (message: string): boolean {
    if (!this.streams || (this.#over && this.#replay === undefined)) return false
    this.#open()
    if (!this.#over && this.#raw.writableLength >= maxBuffered) return false
    this.#write(message)
    return true
  }

  comment (text: string): boolean {
    if (this.#replay?.taken === true) return this.#replay.comment(text)
    if (this.#over || this.#raw.writableLength >= maxBuffered) return false
    if (this.#streaming) this.#raw.write(text)
    return true
  }

  finish (status: number, body: Json | undefined, headers: Readonly<Record<string, string>>): void {
    this.#finished++
    if (this.#finished === this.#expected) this.#gate.patience.delete(this)
    if (this.#streaming) return this.#finishStream(body)
    if (this.#over) return
    if (this.#batch) this.#finishBatch(body)
    else this.#send(status, body, headers)
  }

  get #over (): boolean {
    return this.#raw.writableEnded || this.#raw.destroyed
  }

  #open (): void {
    if (this.#streaming) return
    this.#streaming = true
    this.#raw.on('error', nobody)
    this.#gate.patience.add(this, performance.now())
    if (this.#session !== undefined) this.#replay = this.#gate.replays.begin(this.#session, Date.now())
    this.#raw.writeHead(200, [...streamHeaders])
    this.#raw.flushHeaders()
    if (this.#replay !== undefined && this.#replay.opening !== '') this.#raw.write(this.#replay.opening)
    for (const body of this.#bodies) this.#write(body)
  }

  /** To this connection, or to the one by which its client came back. */
  #write (message: Json): void {
    const text = this.#replay === undefined ? event(message) : this.#replay.add(String(message))
    if (this.#over) return
    if (this.#replay?.taken === true) this.#raw.end()
    else writeTo(this.#raw, text)
  }

  #finishStream (body: Json | undefined): void {
    if (body !== undefined) this.#write(body)
    if (this.#finished < this.#expected) return
    this.#replay?.end(Date.now())
    if (!this.#over) this.#raw.end()
  }

  #finishBatch (body: Json | undefined): void {
    if (body !== undefined) this.#bodies.push(String(body))
    if (this.#finished < this.#expected) return
    if (this.#bodies.length === 0) this.#send(202, undefined, {})
    else this.#send(200, `[${this.#bodies.join(',')}]`, {})
  }

  #send (status: number, body: Json | undefined, headers: Readonly<Record<string, string>>): void {
    const length = body === undefined ? 0 : byteLength(body)
    const head = body === undefined
      ? ['content-length', '0']
      : ['content-type', 'application/json', 'content-length', String(length), 'cache-control', 'no-store']
    for (const name in headers) head.push(name, headers[name] ?? '')
    this.#raw.writeHead(status, head)
    if (body instanceof Spliced) {
      writeTo(this.#raw, body)
      this.#raw.end()
    } else if (body === undefined) this.#raw.end()
    else endWith(this.#raw, body, length === body.length ? 'latin1' : 'utf8') // ASCII takes the shorter way
  }
}

/**
 * Ends the answer with its whole body. `end(body)` alone queues an empty piece behind it, so that node:http gathers two
 * for one writev; a head and a body that are written first, as one text, take a tenth of the CPU of an answer less.
 */
function endWith (raw: ServerResponse, body: string, encoding: 'latin1' | 'utf8'): void {
  const { socket } = raw
  if (socket !== null) { // an answer behind another one on its connection has none yet
    socket.cork()
    raw.write(body, encoding)
    socket.uncork()
    raw.end()
  } else raw.end(body, encoding)
}
