import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Call, Principal, ReplyTo } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { writeTo } from '../../src/protocol/spliced.ts'
import type { Json } from '../../src/protocol/spliced.ts'
import { endpointEvent, event, streamHeaders } from '../../src/protocol/sse.ts'
import type { Session } from '../../src/sessions.ts'

/** Bytes that may wait for a slow reader before notifications to it are dropped. */
const maxBuffered = 1024 * 1024
/** The same for answers, which are never dropped: a reader that stays there is hung up on. */
const maxUnread = 32 * 1024 * 1024
/** An ended stream whose reader does not let go is cut, after so many milliseconds. */
const lingerMs = 1_000

/**
 * The connection of a 2024-11-05 client: one event stream that carries every answer, and with it the session. Only its
 * own principal can post to it, and nobody can guess its id.
 */
export class SseConnection {
  readonly id = randomBytes(24).toString('base64url')
  readonly principal: Principal
  readonly upstream: string | undefined
  /** Id of the session that `initialize` began on this connection. */
  sessionId: string | undefined
  readonly #raw: ServerResponse
  /** A few at a time, so looking through them costs less than a Set that calls run through (src/roster.ts). */
  readonly #calls: Call[] = []
  #ending = false

  constructor (raw: ServerResponse, principal: Principal, upstream: string | undefined) {
    this.#raw = raw
    this.principal = principal
    this.upstream = upstream
  }

  /** The head of the stream, and its first event: where messages are posted, relative to the stream's own URL. */
  begin (): void {
    this.#raw.writeHead(200, [...streamHeaders])
    this.#raw.write(endpointEvent(`${this.upstream ?? 'sse'}?sessionId=${this.id}`))
  }

  /** A message that may be lost; false when it is. */
  send (text: string): boolean {
    if (this.#over || this.#raw.writableLength >= maxBuffered) return false
    this.#raw.write(text)
    return true
  }

  /** The first session that `initialize` began is that of the connection, and ends with it. */
  begun (session: Session | undefined, id: string | undefined): void {
    if (this.sessionId !== undefined || session === undefined || session.id !== id) return
    this.sessionId = id
    session.streams++
  }

  /** Takes the answers of these calls. */
  expect (calls: readonly Call[]): void {
    this.#calls.push(...calls)
  }

  settle (call: Call | undefined, body: Json | undefined): void {
    const at = call === undefined ? -1 : this.#calls.indexOf(call)
    if (at >= 0) this.#calls.splice(at, 1)
    if (body !== undefined && !this.#over) {
      if (this.#raw.writableLength > maxUnread) this.#raw.destroy()
      else writeTo(this.#raw, event(body))
    }
    if (this.#ending) this.end()
  }

  /** Ends the stream once the calls that are under way are answered. */
  end (): void {
    this.#ending = true
    if (this.#calls.length > 0 || this.#over) return
    this.#raw.end()
    setTimeout(() => this.#raw.destroy(), lingerMs).unref()
  }

  /** In 2024-11-05 the connection is the session: who hangs up wants nothing any more. */
  leave (): void {
    for (const call of this.#calls) call.giveUp(new Refusal('PORTCULLIS_CANCELLED'))
  }

  get #over (): boolean {
    return this.#raw.writableEnded || this.#raw.destroyed
  }
}

/** The way back of one message that was posted to such a connection. */
export class SseReply implements ReplyTo {
  readonly streams = true
  readonly #connection: SseConnection
  /** Set once there is a call. */
  call: Call | undefined = undefined

  constructor (connection: SseConnection) {
    this.#connection = connection
  }

  keep (): void {} // the stream is the session's own, and is not taken up again

  notify (message: string): boolean {
    return this.#connection.send(event(message))
  }

  comment (text: string): boolean {
    return this.#connection.send(text)
  }

  finish (_status: number, body: Json | undefined, headers: Readonly<Record<string, string>>): void {
    this.#connection.begun(this.call?.session, headers['mcp-session-id'])
    this.#connection.settle(this.call, body)
  }
}
