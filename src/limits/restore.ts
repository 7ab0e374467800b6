import type { Target } from '../call.ts'
import type { Known, Limit } from './limit.ts'
import type { Windows } from './windows.ts'

/** A call that was counted before the restart, as the log tells it. */
export interface CountedCall {
  /** Unix milliseconds. */
  readonly ts: number
  /** User id. */
  readonly principal: string
  readonly upstream: string
  /** Bare name, or `?` like the upstream when the name could not be called. */
  readonly tool: string
  readonly kind?: Target['kind'] | undefined
  /** Only limits by role need them. */
  readonly roles?: readonly string[] | undefined
  /** Only limits by address need it. */
  readonly address?: string | undefined
}

export type CountedCalls = Iterable<CountedCall> | AsyncIterable<CountedCall>

const twoDays = 172_800_000

/**
 * How far back calls must be known to tell where a window began, in milliseconds. A window begins with the first call after
 * the one before it ended, so one window's calls do not say; a pause of the key does, and in this time there hardly is none.
 */
export function lookBack (limits: readonly Limit[]): number {
  return Math.max(0, ...limits.map(({ spec: { per } }) => per + Math.min(23 * per, twoDays)))
}

/** Counts the calls again, oldest first, as if they came in now. `networkOf` says what an address is counted as. Returns how many there were. */
export async function replay (calls: CountedCalls, counters: readonly { limit: Limit, windows: Windows }[], now: number, networkOf: (address: string) => string): Promise<number> {
  let count = 0
  for await (const call of calls) {
    const facts = factsOf(call, networkOf)
    for (const { limit, windows } of counters) {
      const key = limit.applies(facts) ? limit.key(facts) : undefined
      if (key !== undefined) windows.hit(key, limit.spec.per, Math.min(call.ts, now))
    }
    count++
  }
  return count
}

function factsOf ({ principal, roles, address, kind = 'tool', upstream, tool }: CountedCall, networkOf: (address: string) => string): Known {
  return { kind, upstream, tool, principal: { id: principal, roles }, address: address === undefined ? undefined : networkOf(address) }
}
