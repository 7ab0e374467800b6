import { createHash } from 'node:crypto'
import { ownEnvelope } from './envelope.ts'
import type { Item } from './introduction.ts'
import type { Era } from '../protocol/era.ts'
import { isObject } from '../protocol/message.ts'
import { lists } from '../protocol/methods.ts'
import type { ListMethod } from '../protocol/methods.ts'
import type { Json } from '../protocol/spliced.ts'

export interface OfferOptions {
  readonly era: Era
  /** What the server said that it has; asked when it is needed, since it is known after the handshake only. */
  readonly capabilities: () => Item
  /** One request of the gateway's own. @returns its result, not read yet */
  readonly ask: (method: ListMethod, params: string) => Promise<Json>
  /** Not all of a list is kept, but so many items of it. Said once for each list. */
  readonly cut: (method: ListMethod, items: number, why: Cut) => void
}

/** Why something that a server lists is not offered: the list is too long, or it is nested too deeply. */
export type Cut = 'long' | 'deep'

/** What is kept of one list: a server may not fill the gateway's memory with what it offers. The length is of all pages. */
const maxPages = 100
const maxItems = 10_000
const maxLength = 16 * 1024 * 1024
/** No schema is nested like that, and what is written and read level by level would run out of stack. */
const maxLevels = 256
/** Tools may be looked up again at most this often when a caller names one that is not in the list. */
const relistMs = 5_000

/** What one server offers: its lists, each kept until the server says that it changed, and its tools by name. */
export class Offer {
  readonly #options: OfferOptions
  readonly #lists = new Map<ListMethod, Promise<readonly Item[]>>()
  #tools: ReadonlyMap<string, Item> = new Map()
  #toolsAt = 0
  #loading: Promise<void> | undefined
  #others: number | undefined
  #stale = false
  readonly #cut = new Set<ListMethod>()

  constructor (options: OfferOptions) {
    this.#options = options
  }

  /** Name → definition, as the server last listed them. */
  get tools (): ReadonlyMap<string, Item> {
    return this.#tools
  }

  /** Changes with the tools that are offered. */
  get fingerprint (): string {
    return createHash('sha256').update(JSON.stringify([...this.#tools])).digest('base64')
  }

  /** Lists the tools for the first time. */
  async begin (): Promise<void> {
    if (this.#has('tools')) await this.#loadTools()
  }

  /** How much it offers: tools, or where it has none, what else it lists; undefined while that is not known. */
  get size (): number | undefined {
    return this.#has('tools') ? this.#tools.size : this.#others
  }

  /** Asks for the live list, whatever was kept: that of the tools, or where there are none, of prompts or resources. */
  async renew (): Promise<void> {
    if (this.#has('tools')) return await this.#loadTools()
    const method = this.#has('prompts') ? 'prompts/list' : 'resources/list'
    this.#lists.delete(method)
    this.#others = (await this.list(method)).length
  }

  /** The definition of a tool. One that is not listed is looked for in a fresh list, since servers may add tools silently. */
  async tool (name: string): Promise<Item | undefined> {
    await this.#loading
    const known = this.#tools.get(name)
    if (known !== undefined || Date.now() - this.#toolsAt < relistMs || !this.#has('tools')) return known
    await this.#loadTools()
    return this.#tools.get(name)
  }

  /** The items of one list, of every page as far as there is room for them, kept until the server says that it changed. Empty when the server has no such list. */
  list (method: ListMethod): Promise<readonly Item[]> {
    let items = this.#lists.get(method)
    if (items === undefined) {
      items = this.#fetch(method)
      this.#lists.set(method, items)
      items.catch(() => this.#lists.delete(method))
    }
    return items
  }

  /** The server told something: when it is that a list changed, that list is asked for anew. */
  heard (notification: string): void {
    if (notification === 'notifications/tools/list_changed') this.#reloadTools()
    else if (notification === 'notifications/prompts/list_changed') this.#lists.delete('prompts/list')
    else if (notification === 'notifications/resources/list_changed') {
      this.#lists.delete('resources/list')
      this.#lists.delete('resources/templates/list')
    }
  }

  #has (capability: string): boolean {
    return this.#options.capabilities()[capability] !== undefined
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
    if (!this.#has(capability)) return []
    const { era, ask } = this.#options
    let items: Item[] = []
    let length = 0
    let cursor: unknown
    for (let page = 0; page < maxPages; page++) {
      const text = await ask(method, JSON.stringify({ ...(cursor === undefined ? {} : { cursor }), ...(era === 'modern' ? { _meta: ownEnvelope } : {}) }))
      length += text.length
      if (length > maxLength) break
      const result = JSON.parse(String(text)) as Item
      const given = result[member]
      if (Array.isArray(given)) items = items.concat(given.filter(isObject))
      if (items.length > maxItems) break
      cursor = result['nextCursor']
      if (cursor === undefined || cursor === null) return this.#withoutDeep(method, items)
    }
    const kept = this.#withoutDeep(method, items.slice(0, maxItems))
    this.#say(method, kept.length, 'long')
    return kept
  }

  #withoutDeep (method: ListMethod, items: readonly Item[]): readonly Item[] {
    const kept = items.filter((item) => !isDeeper(item, maxLevels))
    if (kept.length < items.length) this.#say(method, kept.length, 'deep')
    return kept
  }

  #say (method: ListMethod, items: number, why: Cut): void {
    if (!this.#cut.has(method)) this.#options.cut(method, items, why)
    this.#cut.add(method)
  }
}

function isDeeper (value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((member) => isDeeper(member, levels - 1))
}
