import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

export interface KeyRow {
  readonly kid: string
  readonly privateKey: Buffer
  readonly state: 'next' | 'active' | 'retired'
  readonly notBefore: Date
}

/** Every key that may still have signed a living token, newest first. */
export async function loadKeys (db: Kysely<Schema>, now: Date): Promise<KeyRow[]> {
  return await db.selectFrom('signing_keys').select(['kid', 'private_key as privateKey', 'state', 'not_before as notBefore'])
    .where('alg', '=', 'ES256')
    .where((eb) => eb.or([eb('retire_at', 'is', null), eb('retire_at', '>', now)]))
    .orderBy('not_before', 'desc').execute()
}

/** Stores this key as the active one unless there is one already; of several first starts one wins. */
export async function insertFirstKey (db: Kysely<Schema>, key: { kid: string, privateKey: Buffer }, now: Date): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(hashtext('portcullis first signing key'))`.execute(trx)
    const present = await trx.selectFrom('signing_keys').select('kid').where('state', '=', 'active').limit(1).executeTakeFirst()
    if (present !== undefined) return
    await trx.insertInto('signing_keys').values({ kid: key.kid, alg: 'ES256', private_key: key.privateKey, state: 'active', not_before: now, retire_at: null }).execute()
  })
}
