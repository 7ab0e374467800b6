import type { Dispatcher } from 'undici'
import type { Outgoing } from './headers.ts'
import type { RemoteSession } from './session.ts'
import { reasonOf } from './unasked.ts'

interface Around {
  /** Milliseconds the server may take to begin a session in the place of one that it forgot. */
  readonly startMs: number
  line (text: string): void
  note (text: string): void
  gone (reason: string): void
}

/** What it takes of the connection to begin a session. */
interface Ways {
  /** The connection is given up. */
  readonly end: AbortSignal
  tell (message: object, signal: AbortSignal): Promise<Dispatcher.ResponseData>
  /** Reads the answer to what begins the session. */
  read (answer: Dispatcher.ResponseData, initialize: Outgoing, signal: AbortSignal): Promise<void>
  /** Lets go of the stream of the session before. */
  deafen (): void
  listen (): void
}

/** How a session is begun in the place of one that the server forgot; what is sent meanwhile waits for it. */
export class Renewal {
  readonly #session: RemoteSession
  readonly #around: Around
  readonly #ways: Ways
  #underWay: Promise<void> | undefined

  constructor (session: RemoteSession, around: Around, ways: Ways) {
    this.#session = session
    this.#around = around
    this.#ways = ways
  }

  /** Undefined unless a session is being begun. */
  get underWay (): Promise<void> | undefined {
    return this.#underWay
  }

  /** Begins a session in the place of this one, once for all who missed it, and waits until it has begun. */
  async replace (forgotten: string): Promise<void> {
    if (this.#session.id === forgotten) this.#underWay ??= this.#renewOrEnd().finally(() => { this.#underWay = undefined })
    await this.#underWay
  }

  /** Without a session there is nothing to go on with, whoever waits for it still: the next call starts the server anew. */
  async #renewOrEnd (): Promise<void> {
    const overdue = AbortSignal.timeout(this.#around.startMs)
    try {
      await this.#renew(AbortSignal.any([this.#ways.end, overdue]))
    } catch (error) {
      this.#around.gone(overdue.aborted ? 'the remote server does not know the session any more, and did not begin another in time' : reasonOf(error))
      throw error
    }
  }

  /**
   * Begins a session as the one before was begun, and asks in it for what counted in that one. What may have been said
   * to nobody meanwhile is told as a change.
   * @throws Error when the server begins none, or is another one by now
   */
  async #renew (signal: AbortSignal): Promise<void> {
    const { tell, read, deafen, listen } = this.#ways
    const { initialize } = this.#session
    if (initialize === undefined) return
    this.#session.forget()
    deafen()
    await read(await tell(initialize, signal), initialize, signal)
    if (this.#session.headers['mcp-protocol-version'] === undefined) throw new Error('the remote server does not know the session any more, and begins no other')
    this.#around.note('the remote server forgot the session; another one was begun')
    for (const message of [{ method: 'notifications/initialized' }, ...this.#session.told]) (await tell(message, signal)).body.dump().catch(() => {})
    listen()
    for (const name of this.#session.lists) this.#around.line(`{"jsonrpc":"2.0","method":"notifications/${name}/list_changed"}\n`)
  }
}
