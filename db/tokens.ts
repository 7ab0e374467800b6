import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'
import { announce } from './users.ts'

export interface PersonalTokenRow {
  readonly id: string
  readonly userId: string
  readonly username: string
  readonly name: string
  readonly prefix: string
  readonly scopes: readonly string[] | null
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly lastUsedAt: Date | null
  readonly revokedAt: Date | null
}

export interface NewPersonalToken {
  readonly id: string
  readonly userId: string
  readonly name: string
  readonly prefix: string
  readonly secretHash: Buffer
  readonly scopes: readonly string[] | null
  readonly createdAt: Date
  readonly expiresAt: Date
}

export async function insertPersonalToken (db: Kysely<Schema>, token: NewPersonalToken): Promise<void> {
  await db.insertInto('personal_access_tokens').values({
    id: token.id,
    user_id: token.userId,
    name: token.name,
    prefix: token.prefix,
    secret_sha256: token.secretHash,
    scopes: token.scopes === null ? null : [...token.scopes],
    created_at: token.createdAt,
    expires_at: token.expiresAt,
  }).execute()
}

/** By the sha256 of the whole token; revoked and expired ones too, so that the refusal can say which. */
export async function findPersonalToken (db: Kysely<Schema>, secretHash: Buffer): Promise<PersonalTokenRow | undefined> {
  return await personalTokens(db).where('t.secret_sha256', '=', secretHash).executeTakeFirst()
}

/** Tokens that are not revoked, newest first; of everybody when no user is given. */
export async function listPersonalTokens (db: Kysely<Schema>, userId?: string): Promise<PersonalTokenRow[]> {
  let query = personalTokens(db).where('t.revoked_at', 'is', null)
  if (userId !== undefined) query = query.where('t.user_id', '=', userId)
  return await query.orderBy('t.created_at', 'desc').execute()
}

/** One that is not revoked; of this user, when one is given. */
export async function findLiveToken (db: Kysely<Schema>, id: string, userId?: string): Promise<PersonalTokenRow | undefined> {
  let query = personalTokens(db).where('t.id', '=', id).where('t.revoked_at', 'is', null)
  if (userId !== undefined) query = query.where('t.user_id', '=', userId)
  return await query.executeTakeFirst()
}

/** The revoked token, or undefined when there is no live one with this id (belonging to this user, when one is given). */
export async function revokePersonalToken (db: Kysely<Schema>, id: string, now: Date, userId?: string): Promise<PersonalTokenRow | undefined> {
  return await db.transaction().execute(async (trx) => {
    let query = trx.updateTable('personal_access_tokens').set({ revoked_at: now }).where('id', '=', id).where('revoked_at', 'is', null)
    if (userId !== undefined) query = query.where('user_id', '=', userId)
    const row = await query.returning('user_id').executeTakeFirst()
    if (row === undefined) return undefined
    await announce(trx, row.user_id)
    return await personalTokens(trx).where('t.id', '=', id).executeTakeFirst()
  })
}

/** Notes when tokens were last used, many at a time. */
export async function touchPersonalTokens (db: Kysely<Schema>, used: ReadonlyMap<string, number>): Promise<void> {
  const ids = [...used.keys()]
  const times = [...used.values()].map((time) => new Date(time).toISOString())
  await sql`
    update personal_access_tokens t set last_used_at = greatest(t.last_used_at, u.at)
    from unnest(${ids}::uuid[], ${times}::timestamptz[]) as u (id, at) where t.id = u.id`.execute(db)
}

/** Of whom, and everything but the secret. */
export function personalTokens (db: Kysely<Schema>) {
  return db.selectFrom('personal_access_tokens as t').innerJoin('users', 'users.id', 't.user_id').select([
    't.id', 't.user_id as userId', 'users.username', 't.name', 't.prefix', 't.scopes',
    't.created_at as createdAt', 't.expires_at as expiresAt', 't.last_used_at as lastUsedAt', 't.revoked_at as revokedAt',
  ])
}
