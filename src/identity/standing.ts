import type { StateRow } from '../../db/users.ts'

/** What is known of a user, as long as it is `current`. */
export interface Standing {
  readonly id: string
  readonly name: string
  readonly disabled: boolean
  readonly tokenVersion: number
  readonly roles: readonly string[]
  /** `gid`s and `jti`s that must not be honoured. */
  readonly denied: ReadonlySet<string>
  /** false from the moment that something about this user changes: whatever was concluded from it is void. */
  current: boolean
}

export type ChangeListener = (userId: string, standing: Standing | undefined) => void

export interface StandingsOptions {
  /** Must end in bounded time: everybody who asks for this user meanwhile waits for it. */
  readonly load: (id: string) => Promise<StateRow | undefined>
  readonly now: () => number
  /** How long memory may be trusted after the database was last heard of, in milliseconds. */
  readonly maxStale: number
  /** A listener threw. */
  readonly onError: (error: unknown) => void
}

/** The memory of who may do what: filled on demand, voided by every change, worthless when the database falls silent. */
export class Standings {
  /** Unix milliseconds; from then on nothing in here may be relied on. Pushed on by every sign of life. */
  freshUntil = 0
  /** Changes with everything that is voided; equal before and after means nothing was. */
  epoch = 0

  readonly #options: StandingsOptions
  readonly #known = new Map<string, Standing>()
  readonly #loads = new Map<string, { stale: boolean, promise: Promise<Standing | undefined> }>()
  readonly #listeners = new Set<ChangeListener>()
  #closed = false

  constructor (options: StandingsOptions) {
    this.#options = options
  }

  get size (): number {
    return this.#known.size
  }

  alive (sentAt: number): void {
    this.freshUntil = Math.max(this.freshUntil, sentAt + this.#options.maxStale)
  }

  /** The standing of a user, current when it is returned; undefined when there is no such user. */
  async get (id: string): Promise<Standing | undefined> {
    const known = this.#known.get(id)
    if (known?.current === true) return known
    const loading = this.#loads.get(id) ?? this.#startLoad(id)
    return await loading.promise
  }

  /** Something about this user changed. Takes effect at once; the listeners hear of it when the new state is known. */
  changed (id: string): void {
    if (this.#void(id)) this.#tell(id)
  }

  /** Anything may have changed, since changes may have been missed. */
  allChanged (): void {
    for (const id of [...this.#known.keys()]) this.changed(id)
    this.epoch += 1
  }

  /** Returns how to stop listening. */
  onChange (listener: ChangeListener): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  close (): void {
    this.#closed = true
    this.freshUntil = 0
    this.#listeners.clear()
  }

  /** Whether this process has ever met the user. */
  #void (id: string): boolean {
    this.epoch += 1
    const load = this.#loads.get(id)
    if (load !== undefined) load.stale = true
    const known = this.#known.get(id)
    if (known !== undefined) known.current = false
    return known !== undefined || load !== undefined
  }

  #startLoad (id: string): { stale: boolean, promise: Promise<Standing | undefined> } {
    const load = { stale: false, promise: Promise.resolve<Standing | undefined>(undefined) }
    this.#loads.set(id, load)
    load.promise = this.#load(id, load)
    return load
  }

  /** Reads again when a change was announced while reading: the answer may be from before it. */
  async #load (id: string, load: { stale: boolean }): Promise<Standing | undefined> {
    try {
      let row: StateRow | undefined
      do {
        load.stale = false
        row = await this.#options.load(id)
      } while (load.stale)
      return this.#remember(id, row)
    } finally {
      // In the same breath as the result is remembered: nobody may join a load that is over.
      this.#loads.delete(id)
    }
  }

  #remember (id: string, row: StateRow | undefined): Standing | undefined {
    if (row === undefined) {
      this.#known.delete(id)
      return undefined
    }
    const { username: name, disabled, tokenVersion } = row
    const standing: Standing = { id, name, disabled, tokenVersion, roles: Object.freeze([...row.roles]), denied: new Set(row.denied), current: true }
    this.#known.set(id, standing)
    return standing
  }

  #tell (id: string): void {
    if (this.#closed) return
    this.get(id).then(
      (standing) => this.#notify(id, standing),
      () => { setTimeout(() => this.#tell(id), 1000).unref() })
  }

  #notify (id: string, standing: Standing | undefined): void {
    for (const listener of this.#listeners) {
      try {
        listener(id, standing)
      } catch (error) {
        this.#options.onError(error)
      }
    }
  }
}
