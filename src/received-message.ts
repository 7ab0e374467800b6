import { IncomingMessage } from 'node:http'

/**
 * A request whose body can be taken whole: one that came in one piece, as nearly all do, never becomes a stream, whose
 * events, ends and timers cost more than the checks of a call do. Whoever reads it as a stream (`read`, `resume`, `pipe`, a
 * listener for its data, iteration) gets one; so does everything that comes in several pieces.
 *
 * For the option `IncomingMessage` of a server: https://nodejs.org/api/http.html#httpcreateserveroptions-requestlistener.
 * node:http hands the body over by `push`, as the source of any Readable does, and null is its end.
 */
export class ReceivedMessage extends IncomingMessage {
  #state: 'gathering' | 'whole' | 'taken' | 'stream' = 'gathering'
  #body: Buffer | undefined

  static {
    // Types have it as a plain property, which an accessor may not replace. node:http asks for it when the answer is out.
    Object.defineProperty(this.prototype, 'readableEnded', { get (this: ReceivedMessage) { return this.#state === 'taken' || Reflect.get(IncomingMessage.prototype, 'readableEnded', this) as boolean } })
  }

  /** The body, once: all of it is here, in one piece, and nobody has begun to read it. It will never be seen to end or close, then. */
  takeWhole (): Buffer | undefined {
    if (this.#state !== 'whole') return undefined
    const body = this.#body
    this.#state = 'taken'
    this.#body = undefined
    return body
  }

  override push (chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (this.#state === 'gathering') {
      if (chunk !== null && this.#body === undefined) {
        this.#body = chunk
        return true
      }
      if (chunk === null && this.#body !== undefined) {
        this.#state = 'whole'
        return false
      }
      this.#flow()
    }
    return super.push(chunk, encoding)
  }

  override read (size?: number): unknown {
    this.#flow()
    return super.read(size)
  }

  /** node:http calls it when the answer is out, for what was left unread. */
  override resume (): this {
    if (this.#state === 'taken') return this
    this.#flow()
    return super.resume()
  }

  /** Becomes the stream it would have been. */
  #flow (): void {
    if (this.#state !== 'gathering' && this.#state !== 'whole') return
    const ended = this.#state === 'whole'
    this.#state = 'stream'
    if (this.#body !== undefined) super.push(this.#body)
    this.#body = undefined
    if (ended) super.push(null)
  }
}
