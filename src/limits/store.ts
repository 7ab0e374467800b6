import { full } from './refusal.ts'
import { Windows } from './windows.ts'

type Counted = (error: Error | null, result?: { current: number, ttl: number }) => void

/** What @fastify/rate-limit asks of a store. */
export interface Store {
  incr (key: string, done: Counted, timeWindow: number, max: number): void
  read (key: string, done: Counted, timeWindow: number, max: number): void
  child (): Store
}

export interface StoreOptions {
  /** Unix milliseconds. */
  readonly now: () => number
  /** Counters one limit may have at a time. Beyond it, calls that would need another one are refused. */
  readonly maxWindows: number
}

/** A store class in the memory of this process. Every child counts in windows of its own. */
export function memoryStore ({ now, maxWindows }: StoreOptions): new () => Store {
  return class MemoryStore implements Store {
    readonly #windows = new Windows(maxWindows)

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

    child (): Store {
      return new MemoryStore()
    }
  }
}
