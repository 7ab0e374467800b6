import type { Readable, Writable } from 'node:stream'
import { Refusal } from '../errors.ts'
import { readIncoming } from './answer.ts'
import type { Answer } from './answer.ts'
import { Ask, isAskMethod } from './ask.ts'
import { LineReader } from './frames.ts'
import { Slots } from './slots.ts'

/** What waits for the answer to one request. Exactly one of `answer` and `fail` is called, once. */
export interface Sink {
  /** The record of the call, when it is a caller's. */
  readonly record?: string
  answer (answer: Answer): void
  fail (refusal: Refusal): void
  /** `params` of a notifications/progress for this request; the token in it is the gateway's. */
  progress? (params: Record<string, unknown>): void
  /** `params` of a notifications/message that can only belong to this request; `told` when a session of the same owner hears it anyway. */
  log? (params: Record<string, unknown>, told: boolean): void
}

export interface ChannelHooks {
  notification (method: string, params: Record<string, unknown>): void
  /** The server wants something of its client; absent where that was never offered. */
  readonly ask?: ((ask: Ask) => void) | undefined
  /** A line that is not JSON-RPC. */
  noise (line: Buffer): void
  /** A message nobody waits for: late, repeated, forged, too long. */
  dropped (reason: 'unmatched' | 'oversize' | 'progress' | 'request' | 'unreadable'): void
}

interface InFlight { readonly sink: Sink, readonly method: string, deadline: number }

/** Bytes that may wait for a child that does not read its stdin. */
const maxQueued = 8 * 1024 * 1024
/** Questions a child may have open. */
const maxAsks = 64

/**
 * JSON-RPC over one child's stdin and stdout, many callers at once: ids and progress tokens are minted here, answers
 * find their caller by slot, lines of one event-loop turn leave in one write.
 */
export class Channel {
  readonly #stdin: Writable
  readonly #hooks: ChannelHooks
  readonly #flight = new Slots<InFlight>()
  readonly #asks = new Map<string | number, Ask>()
  #queue = ''
  #scheduled = false
  #closed: Refusal | undefined

  constructor (io: { stdin: Writable, stdout: Readable }, maxLine: number, hooks: ChannelHooks) {
    this.#stdin = io.stdin
    this.#hooks = hooks
    const reader = new LineReader(maxLine, (line) => this.#onLine(line), (head, tail) => this.#onOversize(head, tail))
    io.stdout.on('data', (chunk: Buffer) => reader.push(chunk))
    io.stdin.on('error', () => {}) // EPIPE: the exit of the child says it all
  }

  get inFlight (): number {
    return this.#flight.size
  }

  get queuedBytes (): number {
    return this.#queue.length + this.#stdin.writableLength
  }

  /**
   * Sends a request. `params` builds the JSON text of params from the minted id, which is also the progress token.
   * @returns the id, for `cancel`
   * @throws Refusal PORTCULLIS_UPSTREAM_UNAVAILABLE when the child is gone or does not keep up
   */
  request (method: string, params: (id: number) => string, sink: Sink, timeoutMs: number): number {
    if (this.#closed !== undefined) throw this.#closed
    if (this.queuedBytes > maxQueued) throw busy()
    const id = this.#flight.add({ sink, method, deadline: Date.now() + timeoutMs })
    if (id === undefined) throw busy()
    this.#write(`{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)},"params":${params(id)}}\n`)
    return id
  }

  notify (method: string, params?: string): void {
    if (this.#closed !== undefined || this.queuedBytes > maxQueued) return
    this.#write(`{"jsonrpc":"2.0","method":${JSON.stringify(method)}${params === undefined ? '' : `,"params":${params}`}}\n`)
  }

  /** Gives a request up: tells the child, and fails the caller with `refusal`. Unknown ids are ignored. */
  cancel (id: number, refusal: Refusal): void {
    const waiting = this.#flight.take(id)
    if (waiting === undefined) return
    // initialize must not be cancelled (specification, basic/utilities/cancellation)
    if (waiting.method !== 'initialize') this.notify('notifications/cancelled', JSON.stringify({ requestId: id, reason: refusal.message }))
    waiting.sink.fail(refusal)
  }

  /** Gives a request more time: `ms` from now. */
  extend (id: number, ms: number): void {
    const waiting = this.#flight.get(id)
    if (waiting !== undefined) waiting.deadline = Date.now() + ms
  }

  /** Cancels what is overdue at `now` (Unix milliseconds). One coarse sweep costs less than a timer a call. */
  sweep (now: number): void {
    for (const [id, { deadline, method }] of this.#flight.entries()) {
      if (deadline <= now) this.cancel(id, new Refusal('PORTCULLIS_TIMEOUT', { message: `The upstream did not answer ${method} in time. Try again, or ask for less.` }))
    }
  }

  /** Fails everything in flight, and every later request, with `refusal`. */
  close (refusal: Refusal): void {
    if (this.#closed !== undefined) return
    this.#closed = refusal
    for (const [id] of [...this.#flight.entries()]) this.#flight.take(id)?.sink.fail(refusal)
    for (const ask of this.#asks.values()) ask.withdraw()
    this.#asks.clear()
  }

  /** The only request in flight that can be asked or told something mid-call, if there is exactly one. */
  only (): Sink | undefined {
    let only: Sink | undefined
    for (const sink of this.sinks()) {
      if (sink.log === undefined) continue
      if (only !== undefined) return undefined
      only = sink
    }
    return only
  }

  /** Everybody who waits for an answer. */
  * sinks (): Generator<Sink> {
    for (const [, { sink }] of this.#flight.entries()) yield sink
  }

  #write (line: string): void {
    this.#queue += line
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(this.#flush) // after all microtasks: whatever else is ready in this turn goes along
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    const lines = this.#queue
    this.#queue = ''
    if (!this.#stdin.destroyed && this.#stdin.writable) this.#stdin.write(lines)
  }

  /** Whatever a child writes, it is its own problem: nothing it says may end more than its own calls. */
  #onLine (line: Buffer): void {
    try {
      this.#dispatch(line)
    } catch {
      this.#hooks.dropped('unreadable')
    }
  }

  #dispatch (line: Buffer): void {
    const incoming = readIncoming(line)
    switch (incoming.kind) {
      case 'answer': return this.#onAnswer(incoming.id, incoming.answer)
      case 'notification': return this.#onNotification(incoming.method, incoming.params)
      case 'request': return this.#onRequest(incoming.id, incoming.method, incoming.params)
      case 'unmatched': return this.#hooks.dropped('unmatched')
      case 'noise': return this.#hooks.noise(line)
    }
  }

  #onAnswer (id: number, answer: Answer): void {
    const waiting = this.#flight.take(id)
    if (waiting === undefined) return this.#hooks.dropped('unmatched')
    waiting.sink.answer(answer)
  }

  #onNotification (method: string, params: Record<string, unknown>): void {
    if (method === 'notifications/cancelled') return this.#onCancelled(params['requestId'])
    if (method !== 'notifications/progress') return this.#hooks.notification(method, params)
    const token = params['progressToken']
    const sink = typeof token === 'number' ? this.#flight.get(token)?.sink : undefined
    if (sink === undefined) return this.#hooks.dropped('progress')
    sink.progress?.(params)
  }

  /** Ping is answered here, questions by the client the call is for; nothing else was declared, so nothing else is served. */
  #onRequest (id: unknown, method: string, params: Record<string, unknown>): void {
    const plain = typeof id === 'number' || (typeof id === 'string' && id.length <= 256)
    if (!plain || this.queuedBytes > maxQueued) return this.#hooks.dropped('request')
    const respond = (members: string): void => this.#write(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},${members}}\n`)
    if (method === 'ping') return respond('"result":{}')
    if (this.#hooks.ask !== undefined && isAskMethod(method) && this.#asks.size < maxAsks && !this.#asks.has(id)) {
      return this.#onAsk(id, new Ask(method, params, (members) => {
        this.#asks.delete(id)
        if (this.#closed === undefined) respond(members)
      }))
    }
    this.#hooks.dropped('request')
    respond('"error":{"code":-32601,"message":"Method not found"}')
  }

  #onAsk (id: string | number, ask: Ask): void {
    this.#asks.set(id, ask)
    this.#hooks.ask?.(ask)
  }

  /** A server may only take back what it asked itself. */
  #onCancelled (id: unknown): void {
    const ask = typeof id === 'number' || typeof id === 'string' ? this.#asks.get(id) : undefined
    if (ask === undefined) return this.#hooks.dropped('unmatched')
    this.#asks.delete(id as string | number)
    ask.withdraw()
  }

  /** Fails the one call whose answer was too long, found by the id at the head or the tail of the line. */
  #onOversize (head: Buffer, tail: Buffer): void {
    this.#hooks.dropped('oversize')
    const id = /^\{"jsonrpc":"2\.0","id":(\d+),/.exec(head.toString('latin1')) ?? /"id":(\d+)\}$/.exec(tail.toString('latin1'))
    const waiting = id?.[1] === undefined ? undefined : this.#flight.take(Number(id[1]))
    waiting?.sink.fail(new Refusal('PORTCULLIS_RESULT_TOO_LARGE'))
  }
}

function busy (): Refusal {
  return new Refusal('PORTCULLIS_UPSTREAM_UNAVAILABLE', { message: 'The upstream does not keep up with its calls. Try again shortly.', data: { retryAfterMs: 1000 } })
}
