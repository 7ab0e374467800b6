import { isObject } from '../protocol/message.ts'
import type { Params } from '../protocol/message.ts'
import type { Sink } from './channel.ts'

/** How a listening reaches its server. */
export interface Line {
  /** Sends subscriptions/listen with these notifications; returns the id of the request. */
  request (notifications: Params, sink: Sink): number
  cancel (id: number): void
}

/** What a listen may ask for → the capability that offers it. */
const kinds = { toolsListChanged: 'tools', promptsListChanged: 'prompts', resourcesListChanged: 'resources' } as const

/**
 * What one 2026-07-28 server is listened to for: every list that it says may change, and the resources somebody wants to
 * hear of. When that grows or shrinks a new stream is opened, and the old one is ended once the new one is heard.
 */
export class Listening {
  readonly #line: Line
  readonly #lists: Params
  readonly #offersResources: boolean
  readonly #uris = new Set<string>()
  readonly #open = new Set<number>()
  #current = 0

  constructor (capabilities: Params, line: Line) {
    this.#line = line
    const offered = Object.entries(kinds).filter(([, name]) => isObject(capabilities[name]) && capabilities[name]['listChanged'] === true)
    this.#lists = Object.fromEntries(offered.map(([kind]) => [kind, true]))
    this.#offersResources = isObject(capabilities['resources']) && capabilities['resources']['subscribe'] === true
    this.#reopen()
  }

  /** Requests that are open for this and nobody waits for. */
  get open (): number {
    return this.#open.size
  }

  /** False when the server tells of no resource. */
  add (uri: string): boolean {
    if (!this.#offersResources) return false
    if (this.#uris.has(uri)) return true
    this.#uris.add(uri)
    this.#reopen()
    return true
  }

  remove (uri: string): void {
    if (this.#uris.delete(uri)) this.#reopen()
  }

  /** The server has begun to tell: what was open before is not needed any more. */
  acknowledged (): void {
    for (const id of this.#open) if (id !== this.#current) this.#line.cancel(id)
  }

  #reopen (): void {
    const wanted = { ...this.#lists, ...(this.#uris.size === 0 ? {} : { resourceSubscriptions: [...this.#uris] }) }
    if (Object.keys(wanted).length === 0) {
      this.#current = 0
      return this.acknowledged()
    }
    let id = 0
    const over = (): void => { this.#open.delete(id) }
    id = this.#current = this.#line.request(wanted, { answer: over, fail: over })
    this.#open.add(id)
  }
}
