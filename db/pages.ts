import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'
import { personalTokens } from './tokens.ts'
import type { PersonalTokenRow } from './tokens.ts'
import { users } from './users.ts'
import type { UserListRow } from './users.ts'

/** Lists that may be long, a page at a time: what comes behind a place, so that a row that is added or removed meanwhile moves no other. */

/** In the order of their names; `after` is a normalised name. */
export async function pageUsers (db: Kysely<Schema>, limit: number, after: string | undefined): Promise<(UserListRow & { readonly norm: string })[]> {
  let query = users(db).select(['users.kind', 'users.created_at as createdAt', 'users.username_norm as norm'])
  if (after !== undefined) query = query.where('users.username_norm', '>', after)
  return await query.orderBy('users.username_norm').limit(limit).execute()
}

/** When a row was made, in microseconds since 1970 (a Date would lose three digits), and its id. */
export interface Place { readonly time: string, readonly id: string }

/** That are not revoked, newest first; of everybody when no user is given. */
export async function pageTokens (db: Kysely<Schema>, userId: string | undefined, limit: number, after: Place | undefined): Promise<(PersonalTokenRow & { readonly time: string })[]> {
  let query = personalTokens(db).select(micros('t.created_at').as('time')).where('t.revoked_at', 'is', null)
  if (userId !== undefined) query = query.where('t.user_id', '=', userId)
  if (after !== undefined) query = query.where(sql<boolean>`(${micros('t.created_at')}::bigint, t.id::text) < (${after.time}::bigint, ${after.id})`)
  return await query.orderBy('t.created_at', 'desc').orderBy(sql`t.id::text`, 'desc').limit(limit).execute()
}

export interface ClientPageRow {
  readonly id: string
  readonly name: string | null
  readonly source: 'registered' | 'admin'
  readonly createdAt: Date
  readonly lastUsedAt: Date | null
  readonly time: string
}

/** Newest first. */
export async function pageClients (db: Kysely<Schema>, limit: number, after: Place | undefined): Promise<ClientPageRow[]> {
  let query = db.selectFrom('oauth_clients').select(['client_id as id', sql<string | null>`metadata ->> 'client_name'`.as('name'), 'source', 'created_at as createdAt', 'last_used_at as lastUsedAt', micros('created_at').as('time')])
  if (after !== undefined) query = query.where(sql<boolean>`(${micros('created_at')}::bigint, client_id) < (${after.time}::bigint, ${after.id})`)
  return await query.orderBy('created_at', 'desc').orderBy('client_id', 'desc').limit(limit).execute()
}

function micros (column: 't.created_at' | 'created_at') {
  return sql<string>`(extract(epoch from ${sql.ref(column)}) * 1000000)::bigint::text`
}
