import { isObject } from '../../protocol/message.ts'
import type { Outgoing } from './headers.ts'

/** What is asked once and counts as long as the session does → the member of params that tells one from another. */
const lasting: ReadonlyMap<string | undefined, string> = new Map([['resources/subscribe', 'uri'], ['logging/setLevel', '']])

/**
 * A session with a remote server, and what it takes to have another one like it. A server may forget its sessions: it
 * then refuses each request with 404, and a client begins anew (specification 2025-11-25, basic/transports).
 */
export class RemoteSession {
  #id: string | undefined
  #version: string | undefined
  /** What the server said that it is able to do. */
  #terms: string | undefined
  #initialize: Outgoing | undefined
  readonly #told = new Map<string, Outgoing>()

  /** Undefined where the server has no sessions, or none yet. */
  get id (): string | undefined {
    return this.#id
  }

  /** The request that began it. */
  get initialize (): Outgoing | undefined {
    return this.#initialize
  }

  /** What the server was asked, and agreed to, for as long as the session lasts. */
  get told (): Outgoing[] {
    return [...this.#told.values()]
  }

  get headers (): Record<string, string> {
    return {
      ...(this.#version === undefined ? {} : { 'mcp-protocol-version': this.#version }),
      ...(this.#id === undefined ? {} : { 'mcp-session-id': this.#id }),
    }
  }

  /** The server took up the session. */
  begun (id: string): void {
    this.#id = id
  }

  /**
   * Keeps what a later session has to be told as well.
   * @returns false when the server turns out to be another one than it was before
   */
  answered (outgoing: Outgoing, result: Readonly<Record<string, unknown>>): boolean {
    const { method, params } = outgoing
    if (method === 'initialize') return this.#agreed(outgoing, result)
    if (method === 'resources/unsubscribe') this.#told.delete(`resources/subscribe ${String(params['uri'])}`)
    const member = lasting.get(method)
    if (member !== undefined) this.#told.set(`${String(method)} ${String(params[member])}`, outgoing)
    return true
  }

  /** Nothing of the session is sent any more. */
  forget (): void {
    this.#id = undefined
    this.#version = undefined
  }

  /** Names of the lists that may be others in a new session. */
  get lists (): string[] {
    const [, capabilities] = JSON.parse(this.#terms ?? '[]') as unknown[]
    return ['tools', 'prompts', 'resources'].filter((name) => isObject(capabilities) && isObject(capabilities[name]))
  }

  #agreed (outgoing: Outgoing, { protocolVersion, capabilities }: Readonly<Record<string, unknown>>): boolean {
    if (typeof protocolVersion === 'string') this.#version = protocolVersion
    const [before, terms] = [this.#terms, JSON.stringify([protocolVersion, capabilities])]
    this.#terms = terms
    this.#initialize = outgoing
    return before === undefined || before === terms
  }
}
