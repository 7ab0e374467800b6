import { Refusal } from '../errors.ts'

export interface HashQueue {
  /** Runs the work in its turn. Refuses (503, Retry-After) when too many wait, or when the turn does not come in time. */
  turn<T> (work: () => Promise<T>): Promise<T>
  readonly running: number
  readonly waiting: number
  readonly refused: number
}

export interface HashQueueOptions {
  /** How many work at once. */
  readonly running: number
  /** How many may wait. */
  readonly waiting: number
  /** How long one waits at most, in milliseconds. */
  readonly patience: number
  /** Milliseconds between one turn and the next while somebody waits: processor time for everybody else. None when left out. */
  readonly rest?: number
  /** Somebody was turned away. */
  readonly onRefused?: () => void
}

interface Waiter { start: () => void, readonly timer: NodeJS.Timeout }

/**
 * A narrow gate before the hashing. argon2 works in libuv's four threads, which files and DNS need too: forty
 * verifications at once hold those up for seconds, two do not.
 */
export function openHashQueue (options: HashQueueOptions): HashQueue {
  const queue: Waiter[] = []
  let running = 0
  let refused = 0

  async function turn<T> (work: () => Promise<T>): Promise<T> {
    if (running >= options.running) await place()
    else running += 1
    try {
      return await work()
    } finally {
      leave()
    }
  }

  function place (): Promise<void> {
    if (queue.length >= options.waiting) return Promise.reject(refuse())
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        queue.splice(queue.indexOf(waiter), 1)
        reject(refuse())
      }, options.patience)
      const waiter: Waiter = { start: resolve, timer }
      queue.push(waiter)
    })
  }

  /** Hands the place on, so that nobody who comes later overtakes. */
  function leave (): void {
    const next = queue.shift()
    if (next === undefined) {
      running -= 1
      return
    }
    clearTimeout(next.timer)
    setTimeout(next.start, options.rest ?? 0)
  }

  function refuse (): Refusal {
    refused += 1
    options.onRefused?.()
    const seconds = Math.ceil(options.patience / 1000)
    return new Refusal('PORTCULLIS_OVERLOADED', {
      message: `Too many people are logging in at the moment. Try again in ${seconds} seconds.`,
      headers: { 'retry-after': String(seconds) },
      data: { retryAfterMs: seconds * 1000 },
    })
  }

  return {
    turn,
    get running () { return running },
    get waiting () { return queue.length },
    get refused () { return refused },
  }
}
