import { setTimeout as sleep } from 'node:timers/promises'

import type { Database } from '../../db/connect.ts'
import { attemptsOf, callsSince as pagesSince, concludedBetween, eventsOf, findAttempts, liveHeads, oldestEvent } from '../../db/events.ts'
import type { AttemptFilter } from '../../db/attempt-filter.ts'
import type { Attempt, CallEvent, StoredEvent } from '../../db/events.ts'
import type { Target } from '../call.ts'
import type { RefusalCode } from '../errors.ts'
import { methods } from '../protocol/methods.ts'

export type { AttemptFilter } from '../../db/attempt-filter.ts'
export type { Attempt, StoredEvent } from '../../db/events.ts'

type Source = Pick<Database, 'db'>

const HOUR = 3_600_000
/** How far back to look, step by step: the newest attempts are nearly always recent, and the ledger may be huge. */
const REACH = [HOUR / 6, 2 * HOUR, 24 * HOUR, 8 * 24 * HOUR, 60 * 24 * HOUR]

/** At most `limit` attempts, newest first. */
export async function search ({ db }: Source, filter: AttemptFilter, limit: number): Promise<Attempt[]> {
  const newest = Math.min(filter.until?.getTime() ?? Infinity, filter.before?.time.getTime() ?? Infinity, Date.now())
  const oldest = filter.since?.getTime() ?? (await oldestEvent(db))?.getTime() ?? newest
  for (const reach of REACH) {
    const since = newest - reach
    if (since <= oldest) break
    const found = await findAttempts(db, { ...filter, since: new Date(since) }, limit)
    if (found.length >= limit) return found
  }
  return await findAttempts(db, filter, limit)
}

/** One attempt and everything that was written about it; undefined when there is no such record. */
export async function show ({ db }: Source, record: string): Promise<{ attempt: Attempt, events: StoredEvent[] } | undefined> {
  const [attempt] = await attemptsOf(db, record)
  return attempt === undefined ? undefined : { attempt, events: await eventsOf(db, record) }
}

const POLL_MS = 500

/** How far the ledger reaches at this moment: head of each chain. */
export type End = ReadonlyMap<string, number>

/** Where `follow` is to begin. */
export async function markEnd ({ db }: Source): Promise<End> {
  return await liveHeads(db)
}

/**
 * Attempts as they are concluded, from that end on, in the order in which they reach the database; of calls that means
 * with their outcome. Goes on through an outage of the database; ends with `signal`.
 */
export async function * follow ({ db }: Source, end: End, signal: AbortSignal): AsyncGenerator<Attempt, void, undefined> {
  const seen = new Map(end)
  while (!signal.aborted) {
    await sleep(POLL_MS, undefined, { signal }).catch(() => {})
    const heads = await liveHeads(db).catch(() => new Map<string, number>())
    for (const [chain, head] of heads) {
      const after = seen.get(chain) ?? 0
      if (head <= after) continue
      const attempts = await concludedBetween(db, chain, after, head).catch(() => undefined)
      if (attempts === undefined) continue
      seen.set(chain, head)
      yield * attempts
    }
  }
}

/** A call as the rate limits count it. */
export interface CountedCall {
  /** Unix milliseconds. */
  readonly ts: number
  /** User id. */
  readonly principal: string
  readonly kind: Target['kind']
  /** `?`, like the tool, when the name could not be called: such names share one count. */
  readonly upstream: string
  readonly tool: string
  readonly address?: string
}

const limited = Object.keys(methods).filter((method) => methods[method]?.limited === true)

/** What is refused before a limit is asked (by the steps session and resolve, plugins/mcp/index.ts) or by one used nothing up. */
const uncounted: readonly RefusalCode[] = [
  'PORTCULLIS_UNSUPPORTED_VERSION', 'PORTCULLIS_SESSION_REQUIRED', 'PORTCULLIS_SESSION_NOT_FOUND', 'PORTCULLIS_NOT_FOUND', 'PORTCULLIS_INVALID_PARAMS',
  'PORTCULLIS_RATE_LIMITED',
]

/** The calls of the last `windowMs` milliseconds that were counted, oldest first: rate limits are restored from it at start. */
export async function * callsSince ({ db }: Source, windowMs: number): AsyncGenerator<CountedCall, void, undefined> {
  for await (const page of pagesSince(db, new Date(Date.now() - windowMs), { methods: limited, except: uncounted })) yield * page.map(countedCall)
}

/** Refusals of a call before it was seen that there is such a tool. */
const unseen: ReadonlySet<string> = new Set<RefusalCode>(['PORTCULLIS_UNKNOWN_TARGET', 'PORTCULLIS_UPSTREAM_UNAVAILABLE', 'PORTCULLIS_OVERLOADED', 'PORTCULLIS_ARGUMENTS_TOO_LARGE'])

function countedCall ({ time, principal_id: principal, upstream, tool, method, source, code }: CallEvent): CountedCall {
  const callable = code === null || !unseen.has(code)
  return {
    ts: time.getTime(),
    principal,
    kind: method?.startsWith('prompts/') === true ? 'prompt' : method?.startsWith('resources/') === true ? 'resource' : 'tool',
    upstream: callable ? upstream : '?',
    tool: callable ? tool : '?',
    ...(source !== null && { address: source }),
  }
}
