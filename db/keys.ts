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

/** Stores a key that will sign from `notBefore` on; until then it is only published. */
export async function insertNextKey (db: Kysely<Schema>, key: { kid: string, privateKey: Buffer }, notBefore: Date): Promise<void> {
  await db.insertInto('signing_keys').values({ kid: key.kid, alg: 'ES256', private_key: key.privateKey, state: 'next', not_before: notBefore, retire_at: null }).execute()
}

/** Makes the key whose time has come the one that signs; the one before verifies until `retireAt`. Of several gateways one does it. */
export async function advanceKeys (db: Kysely<Schema>, now: Date, retireAt: Date): Promise<void> {
  const due = await db.selectFrom('signing_keys').select('kid').where('state', '=', 'next').where('not_before', '<=', now).limit(1).executeTakeFirst()
  if (due === undefined) return
  await db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(hashtext('portcullis signing keys'))`.execute(trx)
    const next = await trx.selectFrom('signing_keys').select('kid').where('state', '=', 'next').where('not_before', '<=', now).orderBy('not_before', 'desc').limit(1).executeTakeFirst()
    if (next === undefined) return
    await trx.updateTable('signing_keys').set({ state: 'retired', retire_at: retireAt }).where('state', 'in', ['active', 'next']).where('kid', '!=', next.kid).where('not_before', '<=', now).execute()
    await trx.updateTable('signing_keys').set({ state: 'active' }).where('kid', '=', next.kid).execute()
  })
}

export interface KeyListRow { readonly kid: string, readonly state: 'next' | 'active' | 'retired', readonly notBefore: Date, readonly retireAt: Date | null }

/** Newest first. */
export async function listKeys (db: Kysely<Schema>): Promise<KeyListRow[]> {
  return await db.selectFrom('signing_keys').select(['kid', 'state', 'not_before as notBefore', 'retire_at as retireAt']).orderBy('not_before', 'desc').execute()
}
