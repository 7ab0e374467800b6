import { Refusal } from '../errors.ts'
import type { Era, LogLevel } from '../protocol/era.ts'
import type { ListMethod } from '../protocol/methods.ts'
import type { Json } from '../protocol/spliced.ts'
import type { AskKind } from '../protocol/capabilities.ts'
import type { Cell } from '../sandbox/cell.ts'
import type { Answer } from './answer.ts'
import { Channel } from './channel.ts'
import type { ChannelHooks, Sink } from './channel.ts'
import { ownEnvelope, subscriptionOf, withoutSubscription } from './envelope.ts'
import { greet, WrongEra } from './handshake.ts'
import { introductionOf } from './introduction.ts'
import type { Introduction, Item } from './introduction.ts'
import { Listening } from './listening.ts'
import { Offer } from './offer.ts'
import type { OfferOptions } from './offer.ts'
import { unreachable } from './remote/response.ts'
import { Turns } from './turns.ts'

/** A stream that is listened to has no deadline. */
const foreverMs = 2 ** 50

export interface InstanceOptions {
  readonly upstream: string
  readonly owner: string
  readonly era: Era
  readonly cell: Cell
  readonly maxLine: number
  readonly timeoutMs: number
  /** It is reached over a network, whose failures say nothing about the server. */
  readonly isRemote: boolean
  /** What the server may ask of clients, whether it is known to ask, and who wants to know that it does. */
  readonly asks: { readonly kinds: readonly AskKind[], known (): boolean, learn (): void }
  readonly hooks: ChannelHooks
  /** Not all of a list is kept, see Offer. */
  readonly onCut: OfferOptions['cut']
}

/**
 * One live upstream process of one owner, in one era: introduced, its tools known, ready for calls.
 * Whoever creates it closes it with `stop`.
 */
export class Instance {
  readonly upstream: string
  readonly owner: string
  readonly era: Era
  readonly cell: Cell
  readonly startedAt = Date.now()
  /** Whose call a question is about; undefined where the server may not ask anybody. */
  readonly turns: Turns | undefined
  /** What a 2026-07-28 server is listened to for; undefined in the session era, where servers tell unasked. */
  listening: Listening | undefined
  introduction: Introduction = { serverInfo: {}, capabilities: {}, instructions: undefined }
  lastUsed = Date.now()
  /** The level it was last told to log at. */
  logLevel: LogLevel | undefined = undefined
  /** It was noted that its results lack what 2026-07-28 wants of them. */
  untypedNoted = false
  #isOpen = true
  readonly #offer: Offer
  readonly #channel: Channel
  /** How long one request may take, in milliseconds. */
  readonly timeoutMs: number
  readonly #mayAsk: readonly AskKind[]
  readonly #isRemote: boolean
  readonly #notify: ChannelHooks['notification']
  #looks = 0

  constructor (options: InstanceOptions) {
    this.upstream = options.upstream
    this.owner = options.owner
    this.era = options.era
    this.cell = options.cell
    this.timeoutMs = options.timeoutMs
    this.#isRemote = options.isRemote
    this.#notify = options.hooks.notification
    this.#offer = new Offer({
      era: options.era,
      capabilities: () => this.introduction.capabilities,
      ask: (method, params) => this.#ask(method, params, this.timeoutMs, false),
      cut: (...list) => options.onCut(...list),
    })
    // Nobody can say whose call a shared process asks about, and a 2026-07-28 server asks in its answers.
    this.#mayAsk = options.era === 'legacy' && options.owner !== '*' ? options.asks.kinds : []
    const turns = this.turns = this.#mayAsk.length === 0 ? undefined : new Turns(options.asks.known(), options.asks.learn)
    this.#channel = new Channel(options.cell, options.maxLine, {
      ...options.hooks,
      ask: turns === undefined ? undefined : (ask) => turns.asked(ask),
      notification: (method, params) => {
        if (method === 'notifications/subscriptions/acknowledged') this.listening?.acknowledged(subscriptionOf(params))
        this.#heard(method, this.era === 'modern' ? withoutSubscription(params) : params)
      },
    })
    void options.cell.exited.then(() => this.#close())
  }

  /** False once it was stopped or died: nothing is sent to it any more. */
  get isOpen (): boolean {
    return this.#isOpen
  }

  /** Changes with the tools that are offered. */
  get fingerprint (): string {
    return this.#offer.fingerprint
  }

  /** The notifications that say that a list of it is another one now. */
  get changeable (): string[] {
    return ['tools', 'prompts', 'resources'].filter((name) => this.introduction.capabilities[name] !== undefined).map((name) => `notifications/${name}/list_changed`)
  }

  /** Requests that somebody waits for; the gateway's own looks are not among them. */
  get inFlight (): number {
    return this.#channel.inFlight - (this.listening?.open ?? 0) - this.#looks
  }

  /** How much it offers, see Offer. */
  get offers (): number | undefined {
    return this.#offer.size
  }

  /** Asks the server for its live list; whoever keeps an earlier one hears when it is another one now. */
  async relist (): Promise<void> {
    const before = this.fingerprint
    this.#looks++
    try {
      await this.#offer.renew()
    } finally {
      this.#looks--
    }
    if (this.fingerprint !== before) this.#notify('notifications/tools/list_changed', {})
  }

  /** Name → definition, as the server last listed them. */
  get tools (): ReadonlyMap<string, Item> {
    return this.#offer.tools
  }

  /**
   * The handshake of the instance's era, then the tool list.
   * @throws WrongEra when the server refuses the handshake, Refusal when it dies or stays silent
   */
  async introduce (timeoutMs: number): Promise<void> {
    const ask = async (method: string, params: string, ms: number): Promise<Json> => await this.#ask(method, params, ms, true)
    this.introduction = introductionOf(this.upstream, await greet[this.era]({ mayAsk: this.#mayAsk, isRemote: this.#isRemote, ask }, timeoutMs))
    if (this.era === 'legacy') this.#channel.notify('notifications/initialized')
    await this.#offer.begin()
    if (this.era === 'modern') {
      this.listening = new Listening(this.introduction.capabilities, {
        request: (notifications, sink) => this.#channel.request('subscriptions/listen', () => JSON.stringify({ notifications, _meta: ownEnvelope }), sink, foreverMs),
        cancel: (id) => this.#channel.cancel(id, gone()),
        missed: (lists, uris) => {
          for (const name of lists) this.#heard(`notifications/${name}/list_changed`, {})
          for (const uri of uris) this.#heard('notifications/resources/updated', { uri })
        },
      })
    }
  }

  /** Sends a caller's request; see Channel.request. */
  request (method: string, params: (id: number) => string, sink: Sink): number {
    this.lastUsed = Date.now()
    return this.#channel.request(method, params, sink, this.timeoutMs)
  }

  cancel (id: number, refusal: Refusal): void {
    this.#channel.cancel(id, refusal)
  }

  /** A request whose call waits for a person gets that person's time, in milliseconds; without a figure, its own anew. */
  extend (id: number, ms: number = this.timeoutMs): void {
    this.#channel.extend(id, ms)
  }

  sweep (now: number): void {
    this.#channel.sweep(now)
  }

  /** The records of the calls in flight. */
  get records (): string[] {
    return [...this.#channel.sinks()].flatMap(({ record }) => record ?? [])
  }

  /** The sink of the only call in flight, when there is exactly one: what a log message in mid-call belongs to. */
  onlyCaller (): Sink | undefined {
    return this.#channel.only()
  }

  /** The definition of a tool, see Offer. */
  async tool (name: string): Promise<Item | undefined> {
    return await this.#offer.tool(name)
  }

  /** All items of one list, see Offer. */
  list (method: ListMethod): Promise<readonly Item[]> {
    return this.#offer.list(method)
  }

  /** Fails what is in flight and ends the process and all its descendants. */
  async stop (graceMs: number): Promise<void> {
    this.#close()
    await this.cell.stop(graceMs)
  }

  #heard (method: string, params: Record<string, unknown>): void {
    this.#offer.heard(method)
    this.#notify(method, params)
  }

  #close (): void {
    this.#isOpen = false
    this.#channel.close(gone())
    this.listening?.close()
    this.turns?.close()
  }

  #ask (method: string, params: string, timeoutMs: number, handshake: boolean): Promise<Json> {
    return new Promise((resolve, reject) => {
      this.#channel.request(method, () => params, {
        answer: (answer: Answer) => {
          if (answer.kind === 'result') resolve(answer.text)
          else if (handshake && answer.code !== unreachable) reject(new WrongEra(`${method}: ${answer.message}`))
          else reject(new Refusal('PORTCULLIS_UPSTREAM_FAILED', { cause: new Error(`${method}: ${answer.message}`) }))
        },
        fail: reject,
      }, timeoutMs)
    })
  }
}

function gone (): Refusal {
  return new Refusal('PORTCULLIS_UPSTREAM_FAILED', { message: 'The upstream stopped before it answered. Try again: it is started anew.' })
}
