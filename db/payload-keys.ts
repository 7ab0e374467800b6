import type { Kysely } from 'kysely'

import { announce } from './users.ts'
import type { Schema } from './schema.ts'

type Db = Kysely<Schema>

export interface PayloadKeyRow {
  readonly keyId: string
  readonly userId: string
  /** Sealed under the master key; null once it was destroyed. */
  readonly wrapped: Buffer | null
}

/** The user's living key: this one, unless there was one already. */
export async function livingKey (db: Db, fresh: { readonly keyId: string, readonly userId: string, readonly wrapped: Buffer }): Promise<PayloadKeyRow> {
  const { keyId, userId, wrapped } = fresh
  await db.insertInto('payload_keys').values({ key_id: keyId, user_id: userId, wrapped }).onConflict(conflict => conflict.doNothing()).execute()
  return await keys(db).where('user_id', '=', userId).where('wrapped', 'is not', null).executeTakeFirstOrThrow()
}

/** The user's living key; undefined when there is none yet. */
export async function findLivingKey (db: Db, userId: string): Promise<PayloadKeyRow | undefined> {
  return await keys(db).where('user_id', '=', userId).where('wrapped', 'is not', null).executeTakeFirst()
}

export async function findPayloadKey (db: Db, keyId: string): Promise<PayloadKeyRow | undefined> {
  return await keys(db).where('key_id', '=', keyId).executeTakeFirst()
}

/** Takes the keys of a user away for good, and tells every gateway. Returns how many there were. */
export async function destroyPayloadKeys (db: Db, userId: string, now: Date): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    const { numUpdatedRows } = await trx.updateTable('payload_keys').set({ wrapped: null, destroyed_at: now }).where('user_id', '=', userId).where('wrapped', 'is not', null).executeTakeFirst()
    await announce(trx, userId)
    return Number(numUpdatedRows)
  })
}

function keys (db: Db) {
  return db.selectFrom('payload_keys').select(['key_id as keyId', 'user_id as userId', 'wrapped'])
}
