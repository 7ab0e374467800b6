import { Refusal } from '../errors.ts'
import { Windows } from './windows.ts'

type Counted = (error: Error | null, result?: { current: number, ttl: number }) => void

/** What @fastify/rate-limit asks of a store. */
export interface Store {
  incr (key: string, done: Counted, timeWindow: number, max: number): void
  read (key: string, done: Counted, timeWindow: number, max: number): void
  child (options: object): Store
}

export interface StoreOptions {
  /** Unix milliseconds. */
  readonly now: () => number
  /** Counters one limit may have at a time. Beyond it, calls that would need another one are refused. */
  readonly maxWindows: number
}

/** A store class in the memory of this process. A child takes its windows from the `windows` of its options, if there are any. */
export function memoryStore ({ now, maxWindows }: StoreOptions): new (options: object) => Store {
  return class MemoryStore implements Store {
    readonly #windows: Windows

    constructor (options: { windows?: Windows }) {
      this.#windows = options.windows ?? new Windows(maxWindows)
    }

    incr (key: string, done: Counted, timeWindow: number): void {
      const at = now()
      const window = this.#windows.hit(key, timeWindow, at)
      if (window === undefined) done(full())
      else done(null, { current: window.count, ttl: window.start + timeWindow - at })
    }

    read (key: string, done: Counted, timeWindow: number): void {
      const at = now()
      const window = this.#windows.peek(key, timeWindow, at)
      done(null, window === undefined ? { current: 0, ttl: 0 } : { current: window.count, ttl: window.start + timeWindow - at })
    }

    child (options: object): Store {
      return new MemoryStore(options)
    }
  }
}

function full (): Refusal {
  return new Refusal('PORTCULLIS_OVERLOADED', {
    message: 'The gateway counts the calls of too many callers at once. Try again in a few minutes.',
    cause: new Error('a rate limit has no room for another counter'),
  })
}
