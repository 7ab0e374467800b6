import { sql, type Kysely, type Transaction } from 'kysely'

import type { Schema } from './schema.ts'
import { announce } from './users.ts'

const KIND = 'RefreshToken'

type Db = Kysely<Schema> | Transaction<Schema>

export interface RefreshRow {
  readonly userId: string
  readonly clientId: string
  /** The login this token came of; every token of it falls together. */
  readonly gid: string
  /** Token version of the user when the login happened. */
  readonly tokenVersion: number
  /** Unix milliseconds of the login. */
  readonly startedAt: number
  readonly scope: string
  readonly expiresAt: Date
  readonly consumedAt: Date | null
}

export type NewRefresh = Omit<RefreshRow, 'consumedAt'> & { readonly id: string }

export async function insertRefresh (db: Db, token: NewRefresh): Promise<void> {
  await db.insertInto('oauth_artifacts').values({
    kind: KIND,
    id: token.id,
    payload: JSON.stringify({ tv: token.tokenVersion, startedAt: token.startedAt, scope: token.scope }),
    grant_id: token.gid,
    client_id: token.clientId,
    account_id: token.userId,
    expires_at: token.expiresAt,
  }).execute()
}

/** Runs the work on the refresh token with this id, or on undefined. Everything of one login, its end included, comes one after the other. */
export async function withRefresh<T> (db: Kysely<Schema>, id: string, work: (trx: Transaction<Schema>, row: RefreshRow | undefined) => Promise<T>): Promise<T> {
  return await db.transaction().execute(async (trx) => {
    const found = await trx.selectFrom('oauth_artifacts').select('grant_id').where('kind', '=', KIND).where('id', '=', id).executeTakeFirst()
    if (found?.grant_id == null) return await work(trx, undefined)
    await lockGrant(trx, found.grant_id)
    const row = await trx.selectFrom('oauth_artifacts')
      .select(['payload', 'grant_id', 'client_id', 'account_id', 'consumed_at', 'expires_at'])
      .where('kind', '=', KIND).where('id', '=', id).executeTakeFirst()
    return await work(trx, row === undefined ? undefined : readRow(row))
  })
}

/** Without it, a refresh that runs beside a logout would leave a successor that the logout did not see. */
async function lockGrant (trx: Db, gid: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${gid}, 0))`.execute(trx)
}

export async function consumeRefresh (trx: Db, id: string, now: Date): Promise<void> {
  await trx.updateTable('oauth_artifacts').set({ consumed_at: now }).where('kind', '=', KIND).where('id', '=', id).where('consumed_at', 'is', null).execute()
}

/** Ends one login: its refresh tokens are gone and its access tokens are denied everywhere until `until`, when the last of them has expired by itself. */
export async function revokeGrant (trx: Transaction<Schema>, gid: string, userId: string, until: Date): Promise<void> {
  await lockGrant(trx, gid)
  await trx.deleteFrom('oauth_artifacts').where('grant_id', '=', gid).execute()
  await trx.insertInto('token_revocations').values({ id: gid, user_id: userId, expires_at: until })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ expires_at: until })).execute()
  await announce(trx, userId)
}

/** As revokeGrant, in a transaction of its own. */
export async function endGrant (db: Kysely<Schema>, gid: string, userId: string, until: Date): Promise<void> {
  await db.transaction().execute(async (trx) => await revokeGrant(trx, gid, userId, until))
}

/** Removes what has expired: at most `batch` rows of each kind, so that no statement runs long. */
export async function sweepExpired (db: Kysely<Schema>, now: Date, batch: number): Promise<void> {
  await sql`delete from oauth_artifacts where ctid = any(array(select ctid from oauth_artifacts where expires_at < ${now} limit ${batch}))`.execute(db)
  await sql`delete from token_revocations where ctid = any(array(select ctid from token_revocations where expires_at < ${now} limit ${batch}))`.execute(db)
}

interface ArtifactRow { payload: unknown, grant_id: string | null, client_id: string | null, account_id: string | null, consumed_at: Date | null, expires_at: Date }

/** A row that is not shaped like ours is no refresh token. */
function readRow (row: ArtifactRow): RefreshRow | undefined {
  const { payload, grant_id: gid, client_id: clientId, account_id: userId } = row
  if (gid === null || clientId === null || userId === null || typeof payload !== 'object' || payload === null) return undefined
  const { tv, startedAt, scope } = payload as Record<string, unknown>
  if (typeof tv !== 'number' || typeof startedAt !== 'number' || typeof scope !== 'string') return undefined
  return { userId, clientId, gid, tokenVersion: tv, startedAt, scope, expiresAt: row.expires_at, consumedAt: row.consumed_at }
}
