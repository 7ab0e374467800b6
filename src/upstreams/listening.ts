import { isObject } from '../protocol/message.ts'
import type { Params } from '../protocol/message.ts'
import type { Answer } from './answer.ts'
import type { Sink } from './channel.ts'
import { unreachable } from './remote/response.ts'

/** How a listening reaches its server. */
export interface Line {
  /** Sends subscriptions/listen with these notifications; returns the id of the request. */
  request (notifications: Params, sink: Sink): number
  cancel (id: number): void
  /** Nobody listened for a while: these lists, by the capability that offers them, and resources may have changed. */
  missed (lists: readonly string[], uris: readonly string[]): void
}

/** What a listen may ask for → the capability that offers it. */
const kinds = { toolsListChanged: 'tools', promptsListChanged: 'prompts', resourcesListChanged: 'resources' } as const

/** A stream that ended by itself is opened anew after so many milliseconds, and later each time that it is not heard. */
const reopenMs = 1_000
const longestMs = 60_000

/**
 * What one 2026-07-28 server is listened to for: every list that it says may change, and the resources somebody wants to
 * hear of. When that grows or shrinks a new stream is opened, and the old one is ended once the new one is heard. One that
 * the server ends, or that breaks, is opened anew.
 */
export class Listening {
  readonly #line: Line
  readonly #lists: Params
  readonly #offersResources: boolean
  readonly #uris = new Set<string>()
  readonly #open = new Set<number>()
  #current = 0
  #lost = 0
  #timer: NodeJS.Timeout | undefined

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

  /** The server has begun to tell on the stream of that request: what was open before is not needed any more. */
  acknowledged (id: unknown): void {
    if (typeof id === 'number' && id !== this.#current) return
    this.#endOthers()
    if (this.#lost === 0) return
    this.#lost = 0
    this.#line.missed(Object.keys(this.#lists).map((kind) => kinds[kind as keyof typeof kinds]), [...this.#uris])
  }

  /** There is no server any more that could tell. */
  close (): void {
    this.#current = 0
    clearTimeout(this.#timer)
  }

  #endOthers (): void {
    for (const id of this.#open) if (id !== this.#current) this.#line.cancel(id)
  }

  #reopen (): void {
    clearTimeout(this.#timer)
    const wanted = { ...this.#lists, ...(this.#uris.size === 0 ? {} : { resourceSubscriptions: [...this.#uris] }) }
    if (Object.keys(wanted).length === 0) {
      this.#current = 0
      return this.#endOthers()
    }
    let id = 0
    const over = (isFinal: boolean): void => {
      this.#open.delete(id)
      if (id === this.#current && !isFinal) this.#reopenLater()
    }
    id = this.#current = this.#line.request(wanted, { answer: (answer) => over(isRefusal(answer)), fail: () => over(false) })
    this.#open.add(id)
  }

  #reopenLater (): void {
    const waitMs = Math.min(longestMs, reopenMs * 2 ** this.#lost++)
    this.#timer = setTimeout(() => {
      try {
        this.#reopen()
      } catch {
        this.#reopenLater() // it does not keep up with its calls just now
      }
    }, waitMs).unref()
  }
}

/** The server does not want to be listened to; an outage is none of its decisions. */
function isRefusal (answer: Answer): boolean {
  return answer.kind === 'error' && answer.code !== unreachable && answer.code !== -32603
}
