import rateLimit from '@fastify/rate-limit'
import type { CreateRateLimitOptions, RateLimitPluginOptions } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

import type { LimitState } from '../src/call.ts'
import type { Config } from '../src/config/config.ts'
import { Refusal } from '../src/errors.ts'
import { compileLimit } from '../src/limits/limit.ts'
import type { CallFacts, Limit } from '../src/limits/limit.ts'
import { openRedis } from '../src/limits/redis.ts'
import { full, usedUp } from '../src/limits/refusal.ts'
import { lookBack, replay } from '../src/limits/restore.ts'
import type { CountedCalls } from '../src/limits/restore.ts'
import { memoryStore } from '../src/limits/store.ts'
import { Windows } from '../src/limits/windows.ts'
import type { Metrics } from '../src/metrics/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    limits: Limits
  }
}

export interface Limits {
  /**
   * Counts the call against every limit that applies to it, also when one of them refuses it. Throws the Refusal of the
   * first that is used up; otherwise says where the tightest one stands, or undefined when none applies. A promise only
   * where the counters are in Redis.
   */
  check (facts: CallFacts): LimitState | undefined | Promise<LimitState | undefined>
  /**
   * Counts again what was counted before a restart. `callsSince` is asked for the calls of that many milliseconds, oldest
   * first: every attempt that came as far as `check`. With Redis there is nothing to do, and it is not asked.
   */
  restore (callsSince: (ms: number) => CountedCalls | Promise<CountedCalls>): Promise<number>
}

export interface LimitsOptions {
  readonly config: Pick<Config, 'limits' | 'redisUrl'>
  readonly metrics?: Pick<Metrics, 'limit'>
  /** Unix milliseconds; Date.now unless a test says otherwise. */
  readonly now?: () => number
  /** Counters one limit may have at a time; 100 000, about 20 MB. */
  readonly maxWindows?: number
}

/**
 * app.limits: how often who may call what. Counters live in this process, or in Redis when there is one: then
 * @fastify/rate-limit counts there. In memory the windows are counted right here: its way to a store is asynchronous,
 * which costs a tenth of a whole call and gains nothing where nobody has to be asked. Routes with a limit of their own, such as the
 * login, count through it in either case.
 */
export const limits = fp(async (app: FastifyInstance, { config, metrics, now = Date.now, maxWindows = 100_000 }: LimitsOptions) => {
  const redis = config.redisUrl === undefined ? undefined : await openRedis(config.redisUrl, app.log)
  app.addHook('onClose', async () => { redis?.disconnect() })
  await app.register(rateLimit, {
    global: false,
    ...(redis === undefined ? { store: memoryStore({ now, maxWindows }) } : { redis, nameSpace: 'portcullis:limits:' }),
  } as RateLimitPluginOptions)
  const counters = config.limits.map((spec) => createCounter(compileLimit(spec)))
  const byAddress = config.limits.some(({ by }) => by.includes('address'))

  app.decorate('limits', {
    check (given: CallFacts) {
      const facts = byAddress ? { ...given, address: rateLimit.normalizeIP(given.address) } : given
      const counts: (Count | Promise<Count>)[] = []
      let asked = false
      for (const { limit, count } of counters) {
        if (!limit.applies(facts)) continue
        const counted = count(facts)
        asked ||= counted instanceof Promise
        counts.push(counted)
      }
      if (counts.length === 0) return undefined
      return asked ? Promise.all(counts).then((all) => judge(all, facts)) : judge(counts as Count[], facts)
    },
    async restore (callsSince: Parameters<Limits['restore']>[0]) {
      const inMemory = counters.flatMap(({ limit, windows }) => windows === undefined ? [] : [{ limit, windows }])
      if (inMemory.length === 0) return 0
      const calls = await callsSince(lookBack(inMemory.map(({ limit }) => limit)))
      return await replay(calls, inMemory, now(), (address) => rateLimit.normalizeIP(address))
    },
  })

  function createCounter (limit: Limit): Counter {
    const counted = { limit, tally: metrics?.limit(limit.spec.name) }
    if (redis !== undefined) return { limit, windows: undefined, count: countIn(app, counted) }
    const windows = new Windows(maxWindows)
    return { limit, windows, count: (facts) => countHere(counted, windows, facts, now()) }
  }

  /** Tells the metrics; refuses for the first limit that is used up. */
  function judge (counts: readonly Count[], facts: CallFacts): LimitState {
    for (const { tally, exceeded } of counts) if (tally !== undefined) tally[exceeded ? 'exceeded' : 'allowed'].value++
    const first = counts.find(({ exceeded }) => exceeded)
    if (first !== undefined) throw usedUp(first.limit, facts, first.ttl, now())
    return tightest(counts)
  }
}, { name: 'limits' })

/** What is counted, and where the metrics hear of it. */
interface Counted { readonly limit: Limit, readonly tally: ReturnType<Metrics['limit']> | undefined }

interface Count extends Counted { readonly remaining: number, readonly ttl: number, readonly exceeded: boolean }

interface Counter {
  readonly limit: Limit
  /** Undefined when the counters are in Redis. */
  readonly windows: Windows | undefined
  readonly count: (facts: CallFacts) => Count | Promise<Count>
}

function countHere ({ limit, tally }: Counted, windows: Windows, facts: CallFacts, now: number): Count {
  const { calls, per } = limit.spec
  const window = windows.hit(keyOf(limit, facts), per, now)
  if (window === undefined) throw full()
  return { limit, tally, remaining: Math.max(0, calls - window.count), ttl: window.start + per - now, exceeded: window.count > calls }
}

/** All that @fastify/rate-limit looks at in a request, and the key to count under. */
interface Asked { readonly key: string, readonly routeOptions: FastifyRequest['routeOptions'] }

const noRoute = { config: {} } as FastifyRequest['routeOptions']

/** Counts in the store of @fastify/rate-limit. */
function countIn (app: FastifyInstance, { limit, tally }: Counted): Counter['count'] {
  const countKey = app.createRateLimit({
    max: limit.spec.calls,
    timeWindow: limit.spec.per,
    keyGenerator: (request: FastifyRequest) => (request as unknown as Asked).key,
  } as CreateRateLimitOptions)
  return async (facts) => {
    const asked: Asked = { key: keyOf(limit, facts), routeOptions: noRoute }
    const result = await countKey(asked as unknown as FastifyRequest).catch(uncounted)
    if (result.isAllowed) return uncounted(new Error('a limit without an allow-list let a call pass uncounted'))
    return { limit, tally, remaining: result.remaining, ttl: result.ttl, exceeded: result.isExceeded }
  }
}

function keyOf (limit: Limit, facts: CallFacts): string {
  return limit.key(facts) ?? uncounted(new Error(`a call lacks what the limit "${limit.spec.name}" counts by`))
}

function uncounted (error: unknown): never {
  if (error instanceof Refusal) throw error
  throw new Refusal('PORTCULLIS_OVERLOADED', { message: 'The gateway cannot count calls at the moment, so it lets none pass. Try again shortly.', cause: error })
}

function tightest (counts: readonly Count[]): LimitState {
  const { limit, remaining, ttl } = counts.reduce((a, b) => (b.remaining < a.remaining ? b : a))
  return { limit: limit.spec.calls, remaining, resetSeconds: Math.max(1, Math.ceil(ttl / 1000)) }
}
