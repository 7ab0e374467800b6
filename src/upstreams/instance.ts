import { createHash } from 'node:crypto'
import { Refusal } from '../errors.ts'
import { legacyVersions, modernVersions } from '../protocol/era.ts'
import type { Era, LogLevel } from '../protocol/era.ts'
import { isObject } from '../protocol/message.ts'
import { lists } from '../protocol/methods.ts'
import type { ListMethod } from '../protocol/methods.ts'
import { offered } from '../protocol/capabilities.ts'
import type { AskKind } from '../protocol/capabilities.ts'
import type { Cell } from '../sandbox/cell.ts'
import type { Answer } from './answer.ts'
import { Channel } from './channel.ts'
import type { ChannelHooks, Sink } from './channel.ts'
import { clientInfo, ownEnvelope, withoutSubscription } from './envelope.ts'
import { introductionOf } from './introduction.ts'
import type { Introduction, Item } from './introduction.ts'
import { Listening } from './listening.ts'
import { unreachable } from './remote/remote.ts'
import { Turns } from './turns.ts'

/** The server does not speak the era it was opened in; the other era may work. */
export class WrongEra extends Error {}

/** A stream that is listened to has no deadline. */
const foreverMs = 2 ** 50
const maxPages = 100
/** Tools may be looked up again at most this often when a caller names one that is not in the list. */
const relistMs = 5_000
/** A server that has not answered server/discover by then is taken for one that does not know it. */
const probeMs = 10_000

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
  #tools: ReadonlyMap<string, Item> = new Map()
  #toolsAt = 0
  #loading: Promise<void> | undefined
  #stale = false
  #isOpen = true
  #lists = new Map<ListMethod, Promise<readonly Item[]>>()
  readonly #channel: Channel
  /** How long one request may take, in milliseconds. */
  readonly timeoutMs: number
  readonly #mayAsk: readonly AskKind[]
  readonly #isRemote: boolean

  constructor (options: InstanceOptions) {
    this.upstream = options.upstream
    this.owner = options.owner
    this.era = options.era
    this.cell = options.cell
    this.timeoutMs = options.timeoutMs
    this.#isRemote = options.isRemote
    // Nobody can say whose call a shared process asks about, and a 2026-07-28 server asks in its answers.
    this.#mayAsk = options.era === 'legacy' && options.owner !== '*' ? options.asks.kinds : []
    const turns = this.turns = this.#mayAsk.length === 0 ? undefined : new Turns(options.asks.known(), options.asks.learn)
    this.#channel = new Channel(options.cell, options.maxLine, {
      ...options.hooks,
      ask: turns === undefined ? undefined : (ask) => turns.asked(ask),
      notification: (method, params) => {
        this.#onNotification(method)
        options.hooks.notification(method, this.era === 'modern' ? withoutSubscription(params) : params)
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
    return createHash('sha256').update(JSON.stringify([...this.#tools])).digest('base64')
  }

  /** The notifications that say that a list of it is another one now. */
  get changeable (): string[] {
    return ['tools', 'prompts', 'resources'].filter((name) => this.introduction.capabilities[name] !== undefined).map((name) => `notifications/${name}/list_changed`)
  }

  get inFlight (): number {
    return this.#channel.inFlight - (this.listening?.open ?? 0)
  }

  /** Name → definition, as the server last listed them. */
  get tools (): ReadonlyMap<string, Item> {
    return this.#tools
  }

  /**
   * The handshake of the instance's era, then the tool list.
   * @throws WrongEra when the server refuses the handshake, Refusal when it dies or stays silent
   */
  async introduce (timeoutMs: number): Promise<void> {
    const result = this.era === 'legacy' ? await this.#initialize(timeoutMs) : await this.#discover(timeoutMs)
    this.introduction = introductionOf(this.upstream, result)
    if (this.era === 'legacy') this.#channel.notify('notifications/initialized')
    if (this.introduction.capabilities['tools'] !== undefined) await this.#loadTools()
    if (this.era === 'modern') {
      this.listening = new Listening(this.introduction.capabilities, {
        request: (notifications, sink) => this.#channel.request('subscriptions/listen', () => JSON.stringify({ notifications, _meta: ownEnvelope }), sink, foreverMs),
        cancel: (id) => this.#channel.cancel(id, gone()),
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

  /** The definition of a tool. One that is not listed is looked for in a fresh list, since servers may add tools silently. */
  async tool (name: string): Promise<Item | undefined> {
    await this.#loading
    const known = this.#tools.get(name)
    if (known !== undefined || Date.now() - this.#toolsAt < relistMs || this.introduction.capabilities['tools'] === undefined) return known
    await this.#loadTools()
    return this.#tools.get(name)
  }

  /** All items of one list, every page, kept until the server says that it changed. Empty when the server has no such list. */
  list (method: ListMethod): Promise<readonly Item[]> {
    let items = this.#lists.get(method)
    if (items === undefined) {
      items = this.#fetch(method)
      this.#lists.set(method, items)
      items.catch(() => this.#lists.delete(method))
    }
    return items
  }

  /** Fails what is in flight and ends the process and all its descendants. */
  async stop (graceMs: number): Promise<void> {
    this.#close()
    await this.cell.stop(graceMs)
  }

  #close (): void {
    this.#isOpen = false
    this.#channel.close(gone())
    this.turns?.close()
  }

  async #initialize (timeoutMs: number): Promise<Item> {
    const params = JSON.stringify({ protocolVersion: legacyVersions[0], capabilities: offered(this.#mayAsk), clientInfo })
    return await this.#ask('initialize', () => params, timeoutMs, true)
  }

  async #discover (timeoutMs: number): Promise<Item> {
    const result = await this.#ask('server/discover', () => JSON.stringify({ _meta: ownEnvelope }), Math.min(timeoutMs, probeMs), true).catch((error: unknown) => {
      if (this.#isRemote && error instanceof Refusal && error.code === 'PORTCULLIS_UPSTREAM_FAILED') throw error
      // Some servers exit on what they do not know, others keep silent: both may be of the other era.
      throw error instanceof WrongEra ? error : new WrongEra('server/discover was not answered', { cause: error })
    })
    const versions = result['supportedVersions']
    if (!Array.isArray(versions) || !versions.includes(modernVersions[0])) throw new WrongEra('server/discover names no version this gateway speaks')
    return result
  }

  /** However often the list changes meanwhile, there is one listing under way and at most one to follow. */
  #reloadTools (): void {
    this.#stale = this.#loading !== undefined
    if (this.#stale) return
    this.#loading = this.#loadTools().catch(() => {}).finally(() => { // asked for again when a tool is looked up
      this.#loading = undefined
      if (this.#stale) this.#reloadTools()
    })
  }

  async #loadTools (): Promise<void> {
    this.#lists.delete('tools/list')
    this.#toolsAt = Date.now()
    const items = await this.list('tools/list')
    const tools = new Map<string, Item>()
    // Of two with one name it is the first: the one that lists show.
    for (const tool of items) if (typeof tool['name'] === 'string' && !tools.has(tool['name'])) tools.set(tool['name'], tool)
    this.#tools = tools
  }

  async #fetch (method: ListMethod): Promise<readonly Item[]> {
    const { member, capability } = lists[method]
    if (this.introduction.capabilities[capability] === undefined) return []
    const items: Item[] = []
    let cursor: unknown
    for (let page = 0; page < maxPages; page++) {
      const params = { ...(cursor === undefined ? {} : { cursor }), ...(this.era === 'modern' ? { _meta: ownEnvelope } : {}) }
      const result = await this.#ask(method, () => JSON.stringify(params), this.timeoutMs, false)
      const given = result[member]
      if (Array.isArray(given)) items.push(...given.filter(isObject))
      cursor = result['nextCursor']
      if (cursor === undefined || cursor === null) break
    }
    return items
  }

  #ask (method: string, params: (id: number) => string, timeoutMs: number, handshake: boolean): Promise<Item> {
    return new Promise((resolve, reject) => {
      this.#channel.request(method, params, {
        answer: (answer: Answer) => {
          if (answer.kind === 'result') resolve(JSON.parse(String(answer.text)) as Item)
          else if (handshake && answer.code !== unreachable) reject(new WrongEra(`${method}: ${answer.message}`))
          else reject(new Refusal('PORTCULLIS_UPSTREAM_FAILED', { cause: new Error(`${method}: ${answer.message}`) }))
        },
        fail: reject,
      }, timeoutMs)
    })
  }

  #onNotification (method: string): void {
    if (method === 'notifications/subscriptions/acknowledged') this.listening?.acknowledged()
    if (method === 'notifications/tools/list_changed') this.#reloadTools()
    else if (method === 'notifications/prompts/list_changed') this.#lists.delete('prompts/list')
    else if (method === 'notifications/resources/list_changed') {
      this.#lists.delete('resources/list')
      this.#lists.delete('resources/templates/list')
    }
  }
}

function gone (): Refusal {
  return new Refusal('PORTCULLIS_UPSTREAM_FAILED', { message: 'The upstream stopped before it answered. Try again: it is started anew.' })
}
