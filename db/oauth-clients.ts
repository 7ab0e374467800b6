import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

export interface ClientRow {
  readonly clientId: string
  readonly metadata: Record<string, unknown>
  readonly source: 'registered' | 'admin'
  readonly userId: string | null
}

export async function findClient (db: Kysely<Schema>, clientId: string): Promise<ClientRow | undefined> {
  const row = await db.selectFrom('oauth_clients').select(['client_id as clientId', 'metadata', 'source', 'user_id as userId']).where('client_id', '=', clientId).executeTakeFirst()
  return row === undefined ? undefined : { ...row, metadata: row.metadata as Record<string, unknown> }
}

export async function insertClient (db: Kysely<Schema>, client: ClientRow, now: Date): Promise<void> {
  await db.insertInto('oauth_clients')
    .values({ client_id: client.clientId, metadata: JSON.stringify(client.metadata), source: client.source, user_id: client.userId, created_at: now, last_used_at: null }).execute()
}

/** Somebody let the client in: from now on it is kept. */
export async function touchClient (db: Kysely<Schema>, clientId: string, now: Date): Promise<void> {
  await db.updateTable('oauth_clients').set({ last_used_at: now }).where('client_id', '=', clientId).execute()
}

export async function deleteClient (db: Kysely<Schema>, clientId: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('oauth_clients').where('client_id', '=', clientId).executeTakeFirst()
  return numDeletedRows === 1n
}

/** Removes at most `batch` clients that registered themselves before this time and were never let in. */
export async function deleteUnusedClients (db: Kysely<Schema>, before: Date, batch: number): Promise<void> {
  await sql`delete from oauth_clients where ctid = any(array(
    select ctid from oauth_clients where source = 'registered' and last_used_at is null and created_at < ${before} limit ${batch}))`.execute(db)
}

export interface ClientListRow { readonly clientId: string, readonly name: string | null, readonly source: 'registered' | 'admin', readonly createdAt: Date, readonly lastUsedAt: Date | null }

/** Newest first. */
export async function listClients (db: Kysely<Schema>): Promise<ClientListRow[]> {
  return await db.selectFrom('oauth_clients')
    .select(['client_id as clientId', sql<string | null>`metadata ->> 'client_name'`.as('name'), 'source', 'created_at as createdAt', 'last_used_at as lastUsedAt'])
    .orderBy('created_at', 'desc').execute()
}
