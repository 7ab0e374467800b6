import { request } from 'undici'
import type { Agent, Dispatcher } from 'undici'
import { isObject } from '../../protocol/message.ts'
import { lists } from '../../protocol/methods.ts'
import { mirrorHeaders } from './headers.ts'
import type { Outgoing } from './headers.ts'
import { EventReader } from './events.ts'
import { Renewal } from './renewal.ts'
import { contentOf, isRedirect, sayingOf, textOf, unreachable } from './response.ts'
import { RemoteSession } from './session.ts'
import { isStream, listen, readOldStream, reasonOf, reopenMs, waitToReopen } from './unasked.ts'

export interface RemoteParts {
  readonly agent: Agent
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly maxMessage: number
  /** Milliseconds the server may take to begin a session in the place of one that it forgot. */
  readonly startMs: number
  /** Takes text of a message, ended by a line break, in pieces where it is long. */
  line (text: string | Buffer): void
  /** Takes a sentence for the operator. */
  note (text: string): void
  /** The server cannot be talked to any more, for a reason that is for the operator. */
  gone (reason: string): void
}

/** Headers of every message. */
const posted = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' }
/** Statuses by which a server says that it does not know Streamable HTTP, or not this session any more. */
const unknownHere: ReadonlySet<number> = new Set([400, 404, 405])

/** What a message that answers no request is for. */
const nobodys: Outgoing = { id: undefined, method: undefined, params: {} }

/** One server over HTTP: Streamable HTTP of both eras, and the HTTP+SSE of 2024-11-05. */
export class Remote {
  readonly #parts: RemoteParts
  readonly #open = new Map<unknown, AbortController>()
  readonly #end = new AbortController()
  readonly #schemas = new Map<string, unknown>()
  readonly #session = new RemoteSession()
  readonly #renewal: Renewal
  #listening = new AbortController()
  #isModern = false
  /** Where 2024-11-05 messages are posted; answers come on the stream. */
  #messages: URL | undefined

  constructor (parts: RemoteParts) {
    this.#parts = parts
    this.#renewal = new Renewal(this.#session, parts, {
      end: this.#end.signal,
      tell: async (message, signal) => await this.#fetch('POST', parts.url, posted, JSON.stringify({ jsonrpc: '2.0', ...message }), signal),
      read: async (answer, initialize, signal) => await this.#read(answer, initialize, signal, undefined),
      deafen: () => {
        this.#listening.abort()
        this.#listening = new AbortController()
      },
      listen: () => { void this.#listen() },
    })
  }

  /** Sends one message. What the server does wrong is told as the answer; where it cannot be reached, everything ends. */
  post (text: string): void {
    const message = JSON.parse(text) as Outgoing & { params?: Outgoing['params'] }
    const outgoing = { id: message.id, method: message.method, params: message.params ?? {} }
    if (outgoing.method === 'notifications/cancelled') this.#open.get(outgoing.params['requestId'])?.abort()
    this.#send(text, outgoing).catch((error: unknown) => {
      if (this.#end.signal.aborted || this.#open.get(outgoing.id)?.signal.aborted === true) return
      this.#parts.gone(reasonOf(error))
    }).finally(() => this.#open.delete(outgoing.id))
  }

  /** Ends the session, as far as the server has one. */
  async leave (graceMs: number): Promise<void> {
    if (this.#session.id === undefined || graceMs === 0) return
    await this.#fetch('DELETE', this.#parts.url, {}, undefined, AbortSignal.timeout(graceMs)).then(({ body }) => body.dump(), () => {})
  }

  close (): void {
    this.#end.abort()
    this.#listening.abort()
    for (const controller of this.#open.values()) controller.abort()
  }

  async #send (text: string, outgoing: Outgoing): Promise<void> {
    const mirrors = mirrorHeaders(outgoing, this.#schemas.get(String(outgoing.params['name'])))
    this.#isModern ||= mirrors !== undefined
    // In 2026-07-28 hanging up is how a request is cancelled; there is nothing to post.
    if (this.#isModern && outgoing.method === 'notifications/cancelled') return
    const controller = new AbortController()
    if (outgoing.id !== undefined && outgoing.method !== undefined) this.#open.set(outgoing.id, controller)
    await this.#renewal.underWay
    await this.#exchange(text, outgoing, { ...mirrors, ...posted }, controller.signal)
    if (outgoing.method === 'notifications/initialized' && this.#messages === undefined) void this.#listen()
  }

  async #exchange (text: string, outgoing: Outgoing, headers: Record<string, string>, signal: AbortSignal): Promise<void> {
    let session = this.#session.id
    let answer = await this.#fetch('POST', this.#messages ?? this.#parts.url, headers, text, signal)
    if (outgoing.method === 'initialize' && this.#messages === undefined && unknownHere.has(answer.statusCode)) return await this.#openOldStream(text, outgoing, answer)
    // A request of a session that the server does not know was certainly not carried out: it is sent again, once.
    if (answer.statusCode === 404 && session !== undefined && outgoing.id !== undefined && outgoing.method !== undefined) {
      await answer.body.dump()
      await this.#renewal.replace(session)
      session = this.#session.id
      answer = await this.#fetch('POST', this.#parts.url, headers, text, signal)
    }
    await this.#read(answer, outgoing, signal, session).catch((error: unknown) => {
      if (this.#end.signal.aborted || signal.aborted) throw error
      this.#parts.note(`the answer of the remote server broke off: ${reasonOf(error)}`)
      this.#fail(outgoing, 'The connection to the remote server broke before it answered.', unreachable)
    })
  }

  async #read (answer: Dispatcher.ResponseData, outgoing: Outgoing, signal: AbortSignal, session: string | undefined): Promise<void> {
    const { statusCode, headers, body } = answer
    if (outgoing.method === 'initialize' && typeof headers['mcp-session-id'] === 'string') this.#session.begun(headers['mcp-session-id'])
    const isAnswer = outgoing.id !== undefined && outgoing.method !== undefined
    if (!isRedirect(statusCode) && (!isAnswer || statusCode === 202 || this.#messages !== undefined)) {
      if (statusCode >= 400) this.#fail(outgoing, `The remote server answered with HTTP ${statusCode}.`)
      return await body.dump()
    }
    const content = contentOf(answer)
    if (content === 'events') return await this.#readEvents(body, outgoing, signal, session)
    if (content === 'message') return await this.#readMessage(body, outgoing)
    await body.dump()
    this.#fail(outgoing, ...sayingOf(statusCode))
  }

  async #readMessage (body: Dispatcher.ResponseData['body'], outgoing: Outgoing): Promise<void> {
    const text = await textOf(body, this.#parts.maxMessage)
    if (text === undefined) this.#fail(outgoing, 'The answer of the remote server is too large.')
    else this.#receive(text, outgoing, true)
  }

  /**
   * Reads a stream until it answers. A server of the session era may close it before that, and is asked for the rest from
   * the last id it gave (specification 2025-11-25, basic/transports: resumability).
   */
  async #readEvents (body: Dispatcher.ResponseData['body'], outgoing: Outgoing, signal: AbortSignal, session: string | undefined): Promise<void> {
    let [answered, last, waitMs] = [false, undefined as string | undefined, reopenMs]
    for (let rest: typeof body | undefined = body; rest !== undefined; rest = await this.#restOf(last, waitMs, signal, session)) {
      const reader = new EventReader(this.#parts.maxMessage, ({ data, id }) => {
        last = id ?? last
        answered = this.#receive(data, outgoing, false) || answered
      })
      try {
        for await (const chunk of rest) {
          reader.push(chunk as Buffer)
          if (answered) return // leaving the loop hangs up
        }
      } catch (error) {
        if (last === undefined || signal.aborted) throw error
      }
      waitMs = reader.retryMs ?? waitMs
    }
    this.#fail(outgoing, 'The remote server ended its stream before it answered.')
  }

  /** What came after the event of that id; undefined where a server keeps none, or forgot the session it was in. */
  async #restOf (last: string | undefined, waitMs: number, signal: AbortSignal, session: string | undefined): Promise<Dispatcher.ResponseData['body'] | undefined> {
    if (last === undefined || this.#isModern) return undefined
    await waitToReopen(waitMs, 0, signal)
    if (session !== this.#session.id) return undefined
    const answer = await this.#fetch('GET', this.#parts.url, { accept: 'text/event-stream', 'last-event-id': last }, undefined, signal)
    if (isStream(answer)) return answer.body
    await answer.body.dump()
    return undefined
  }

  /** Passes a message on; says whether it answers `outgoing`. What is no JSON, or a body that answers something else, is dropped. */
  #receive (text: string, outgoing: Outgoing, alone: boolean): boolean {
    const message = parse(text)
    const isAnswer = isObject(message) && message['method'] === undefined && message['id'] === outgoing.id
    if (isAnswer) this.#learn(outgoing, message['result'])
    else if (alone) {
      // An error whose id is left out belongs to the request it came back for.
      const error = isObject(message) && isObject(message['error']) && (message['id'] === undefined || message['id'] === null) ? message['error'] : undefined
      this.#parts.line(`${JSON.stringify({ jsonrpc: '2.0', id: outgoing.id, error: error ?? { code: -32603, message: 'The remote server did not answer in JSON-RPC.' } })}\n`)
      return true
    }
    if (isAnswer && outgoing.method === 'initialize' && this.#renewal.underWay !== undefined) return true // nobody waits for it
    if (isObject(message)) this.#parts.line(`${text.replace(/[\r\n]/g, ' ')}\n`)
    return isAnswer
  }

  /** Keeps what later headers need. */
  #learn (outgoing: Outgoing, result: unknown): void {
    if (!isObject(result)) return
    if (!this.#session.answered(outgoing, result)) return this.#parts.gone('the remote server forgot the session, and is able to do other things than before')
    const tools = outgoing.method === 'tools/list' ? result[lists['tools/list'].member] : undefined
    for (const tool of Array.isArray(tools) ? tools.filter(isObject) : []) this.#schemas.set(String(tool['name']), tool['inputSchema'])
  }

  /** A server need not have a stream for what belongs to no request. */
  async #listen (): Promise<void> {
    const { signal } = this.#listening
    await listen(this.#parts, {
      open: async (last) => await this.#fetch('GET', this.#parts.url, { accept: 'text/event-stream', ...(last === undefined ? {} : { 'last-event-id': last }) }, undefined, signal),
      said: (data) => this.#receive(data, nobodys, false),
      signal,
    })
  }

  /** A server that knows no Streamable HTTP may speak what came before it. */
  async #openOldStream (text: string, outgoing: Outgoing, refused: Dispatcher.ResponseData): Promise<void> {
    await refused.body.dump()
    const answer = await this.#fetch('GET', this.#parts.url, { accept: 'text/event-stream' }, undefined, this.#end.signal)
    if (!isStream(answer)) {
      await answer.body.dump()
      return this.#fail(outgoing, `The remote server answered initialize with HTTP ${refused.statusCode}, and a GET with HTTP ${answer.statusCode}.`)
    }
    readOldStream(answer.body, this.#parts, {
      said: (data) => this.#receive(data, nobodys, false),
      postTo: (url) => {
        if (this.#messages !== undefined) return
        this.#messages = url
        this.post(text)
      },
    })
  }

  async #fetch (method: 'GET' | 'POST' | 'DELETE', url: URL, headers: Record<string, string>, body: string | undefined, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    return await request(url, { method, dispatcher: this.#parts.agent, headers: { ...this.#parts.headers, ...this.#session.headers, ...headers }, signal, ...(body === undefined ? {} : { body }) })
  }

  #fail ({ id, method }: Outgoing, message: string, code = -32603): void {
    if (id === undefined || method === undefined) return this.#parts.note(message)
    this.#parts.line(`${JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } })}\n`)
  }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
