import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** What the authorization server keeps between requests: sessions, interactions, codes, grants, refresh tokens. */
export interface Artifact {
  readonly kind: string
  readonly id: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly grantId: string | null
  readonly userCode: string | null
  readonly uid: string | null
  readonly clientId: string | null
  readonly accountId: string | null
  readonly expiresAt: Date
}

export interface FoundArtifact {
  readonly id: string
  readonly payload: Record<string, unknown>
  readonly consumedAt: Date | null
}

/** Stores it, or replaces what is stored under its kind and id; that it was consumed stays. */
export async function putArtifact (db: Kysely<Schema>, artifact: Artifact): Promise<void> {
  const row = columnsOf(artifact)
  await db.insertInto('oauth_artifacts').values({ kind: artifact.kind, id: artifact.id, ...row })
    .onConflict((conflict) => conflict.columns(['kind', 'id']).doUpdateSet(row)).execute()
}

/** Stores it unless something is stored under its kind and id: of many that bring the same at once, exactly one is told true. */
export async function addArtifact (db: Kysely<Schema>, artifact: Artifact): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db.insertInto('oauth_artifacts').values({ kind: artifact.kind, id: artifact.id, ...columnsOf(artifact) })
    .onConflict((conflict) => conflict.columns(['kind', 'id']).doNothing()).executeTakeFirst()
  return numInsertedOrUpdatedRows === 1n
}

function columnsOf (artifact: Artifact) {
  return {
    payload: JSON.stringify(artifact.payload),
    grant_id: artifact.grantId,
    user_code: artifact.userCode,
    uid: artifact.uid,
    client_id: artifact.clientId,
    account_id: artifact.accountId,
    expires_at: artifact.expiresAt,
  }
}

export async function findArtifact (db: Kysely<Schema>, kind: string, by: { readonly id: string } | { readonly uid: string } | { readonly userCode: string }): Promise<FoundArtifact | undefined> {
  const query = db.selectFrom('oauth_artifacts').select(['id', 'payload', 'consumed_at as consumedAt']).where('kind', '=', kind)
  const row = await ('id' in by ? query.where('id', '=', by.id) : 'uid' in by ? query.where('uid', '=', by.uid) : query.where('user_code', '=', by.userCode)).executeTakeFirst()
  return row === undefined ? undefined : { ...row, payload: row.payload as Record<string, unknown> }
}

/** Marks it used. False when it is gone or was used before: of many that ask at once, exactly one is told true. */
export async function consumeArtifact (db: Kysely<Schema>, kind: string, id: string, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await db.updateTable('oauth_artifacts').set({ consumed_at: now })
    .where('kind', '=', kind).where('id', '=', id).where('consumed_at', 'is', null).executeTakeFirst()
  return numUpdatedRows === 1n
}

/** Takes it out, once: of many that ask at once, one gets it. Undefined when it is gone or its time is over. */
export async function takeArtifact (db: Kysely<Schema>, kind: string, id: string, now: Date): Promise<Record<string, unknown> | undefined> {
  const row = await db.deleteFrom('oauth_artifacts').where('kind', '=', kind).where('id', '=', id).where('expires_at', '>', now).returning('payload').executeTakeFirst()
  return row?.payload as Record<string, unknown> | undefined
}

export async function deleteArtifact (db: Kysely<Schema>, kind: string, id: string): Promise<void> {
  await db.deleteFrom('oauth_artifacts').where('kind', '=', kind).where('id', '=', id).execute()
}

export async function deleteGrantArtifacts (db: Kysely<Schema>, kind: string, grantId: string): Promise<void> {
  await db.deleteFrom('oauth_artifacts').where('kind', '=', kind).where('grant_id', '=', grantId).execute()
}

/**
 * Token version of a user while this grant stands; undefined when either is gone. One statement, so that a change of
 * password beside it is seen whole or not at all.
 */
export async function tokenVersionUnder (db: Kysely<Schema>, userId: string, grant: { readonly kind: string, readonly id: string } | undefined): Promise<number | undefined> {
  let query = db.selectFrom('users').select('token_version as version').where('id', '=', userId).where('disabled', '=', false)
  if (grant !== undefined) query = query.where(sql<boolean>`exists (select from oauth_artifacts a where a.kind = ${grant.kind} and a.id = ${grant.id})`)
  return (await query.executeTakeFirst())?.version
}
