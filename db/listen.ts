import pg from 'pg'

export interface ListenOptions {
  readonly url: string
  readonly channel: string
  /** A notification arrived. */
  readonly onNotify: (payload: string) => void
  /** The subscription stands (again), so what was missed can be read now. */
  readonly onUp: () => void
  /** The connection answered; `sentAt` is when it was asked, in Unix milliseconds. */
  readonly onAlive: (sentAt: number) => void
  readonly onDown?: (error: Error) => void
  /** How often to ask the connection whether it lives, in milliseconds. An answer later than this counts as death. */
  readonly heartbeat: number
  readonly now: () => number
}

/** A LISTEN on a connection of its own, that heals itself. Resolves when the first subscription stands; rejects when it cannot. */
export async function listen (options: ListenOptions): Promise<Subscription> {
  const subscription = new Subscription(options)
  await subscription.open()
  return subscription
}

/** A standing LISTEN. A connection that hangs is as dead as one that breaks: only an answered heartbeat counts as life. */
export class Subscription {
  readonly #options: ListenOptions
  #client: pg.Client | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor (options: ListenOptions) {
    this.#options = options
  }

  async open (): Promise<void> {
    const { url, channel, heartbeat, onNotify, onUp, onAlive, now } = this.#options
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: Math.max(heartbeat, 2000), query_timeout: Math.max(heartbeat, 1000), keepAlive: true, application_name: 'portcullis listener' })
    client.on('error', (error) => this.#lost(client, error))
    client.on('end', () => this.#lost(client, new Error('the database closed the connection')))
    client.on('notification', (message) => onNotify(message.payload ?? ''))
    try {
      await client.connect()
      const sentAt = now()
      await client.query(`listen ${pg.escapeIdentifier(channel)}`)
      onUp()
      if (this.#closed) throw new Error('closed while connecting')
      this.#client = client
      onAlive(sentAt)
      this.#beatLater(client)
    } catch (error) {
      await end(client)
      throw error
    }
  }

  /** Idempotent. */
  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    const client = this.#client
    this.#client = undefined
    if (client !== undefined) await end(client)
  }

  #beatLater (client: pg.Client): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => { this.#beat(client).catch((error: Error) => this.#lost(client, error)) }, this.#options.heartbeat).unref()
  }

  async #beat (client: pg.Client): Promise<void> {
    const sentAt = this.#options.now()
    await client.query('select 1')
    if (client !== this.#client) return
    this.#options.onAlive(sentAt)
    this.#beatLater(client)
  }

  #lost (client: pg.Client, error: Error): void {
    if (this.#closed || client !== this.#client) return
    this.#client = undefined
    this.#options.onDown?.(error)
    end(client).catch(() => {})
    this.#retry(100)
  }

  #retry (wait: number): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.open().catch(() => this.#retry(Math.min(wait * 2, 2000)))
    }, wait).unref()
  }
}

/** Says goodbye, but does not wait for a peer that is gone. */
async function end (client: pg.Client): Promise<void> {
  client.removeAllListeners('notification')
  const gone = new Promise<void>((resolve) => setTimeout(resolve, 500).unref())
  await Promise.race([client.end().catch(() => {}), gone])
}
