import { formatDuration, formatPeriod } from '../config/units.ts'
import { Refusal } from '../errors.ts'
import type { CallFacts, Limit } from './limit.ts'

/** The refusal of a call whose limit is used up for another `ttl` milliseconds from `now`. */
export function usedUp (limit: Limit, facts: CallFacts, ttl: number, now: number): Refusal {
  const { calls, per, name } = limit.spec
  const seconds = Math.max(1, Math.ceil(ttl / 1000))
  const subject = limit.subject(facts)
  return new Refusal('PORTCULLIS_RATE_LIMITED', {
    message: `Limit of ${calls} ${calls === 1 ? 'call' : 'calls'} per ${spoken(per)}${subject === '' ? '' : ` for ${subject}`} is used up. Try again in ${waiting(seconds)} (at ${clockTime(now + ttl, ttl)}).`,
    rule: `limit ${name}`,
    data: { limit: calls, window: formatDuration(per), windowMs: per, remaining: 0, retryAfterMs: Math.max(1, ttl), resetAt: new Date(now + ttl).toISOString() },
    headers: { 'ratelimit-limit': String(calls), 'ratelimit-remaining': '0', 'ratelimit-reset': String(seconds), 'retry-after': String(seconds) },
  })
}

/** The refusal of a call that would need one more counter than one limit may have. */
export function full (): Refusal {
  return new Refusal('PORTCULLIS_OVERLOADED', {
    message: 'The gateway counts the calls of too many callers at once. Try again in a few minutes.',
    cause: new Error('a rate limit has no room for another counter'),
  })
}

/** `hour`, `15 minutes`. */
function spoken (ms: number): string {
  const name = formatPeriod(ms)
  return /^[a-z]+$/.test(name) ? name : words(ms / 1000)
}

/** Rounded up, so that whoever waits as long as it says is let in. */
function waiting (seconds: number): string {
  const [, coarse] = units.find(([, size]) => seconds >= 2 * size) ?? ['second', 1]
  return words(Math.ceil(seconds / coarse) * coarse)
}

const units: readonly (readonly [name: string, seconds: number])[] = [['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]]

function words (seconds: number): string {
  const [name, size] = units.find(([, size]) => seconds % size === 0) ?? ['second', 1]
  const count = seconds / size
  return `${count} ${name}${count === 1 ? '' : 's'}`
}

/** The time alone while it is unambiguous. */
function clockTime (at: number, ttl: number): string {
  const iso = new Date(Math.ceil(at / 1000) * 1000).toISOString().replace('.000Z', 'Z')
  return ttl < 43_200_000 ? iso.slice(11) : iso
}
