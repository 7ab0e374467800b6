import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

export interface AttemptRow {
  readonly failed: number
  readonly lockedUntil: Date | null
  readonly lastAt: Date
}

export async function readAttempts (db: Kysely<Schema>, keys: readonly Buffer[]): Promise<AttemptRow[]> {
  return await db.selectFrom('login_attempts').select(['failed', 'locked_until as lockedUntil', 'last_at as lastAt']).where('key_hmac', 'in', keys).execute()
}

/**
 * Counts one failure. From `free` failures on, each doubles the wait, up to `longest` seconds; what is older than
 * `forget` is forgiven. One statement, so that parallel failures all count.
 */
export async function countFailure (db: Kysely<Schema>, key: Buffer, now: Date, rule: { free: number, longest: number, forget: Date }): Promise<void> {
  const failed = sql<number>`case when login_attempts.last_at < ${rule.forget} then 1 else login_attempts.failed + 1 end`
  // The exponent is capped before it is used: 2^n of a long attack is not a number that an interval holds.
  const wait = sql`make_interval(secs => least(${rule.longest}, power(2, least(${failed} - ${rule.free} + 1, 30))))`
  await sql`
    insert into login_attempts (key_hmac, failed, locked_until, last_at) values (${key}, 1, null, ${now})
    on conflict (key_hmac) do update set
      failed = ${failed},
      locked_until = case when ${failed} >= ${rule.free} then ${now}::timestamptz + ${wait} end,
      last_at = ${now}`.execute(db)
}

export async function clearFailures (db: Kysely<Schema>, keys: readonly Buffer[]): Promise<void> {
  await db.deleteFrom('login_attempts').where('key_hmac', 'in', keys).execute()
}

export async function forgetFailures (db: Kysely<Schema>, before: Date): Promise<void> {
  await db.deleteFrom('login_attempts').where('last_at', '<', before).execute()
}
