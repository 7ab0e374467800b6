import { sql, type Kysely, type Transaction } from 'kysely'

import type { Schema } from './schema.ts'
import { announce, insertUser } from './users.ts'

type Db = Kysely<Schema> | Transaction<Schema>

/** Somebody whom another issuer vouches for. */
export interface Outsider { readonly issuer: string, readonly subject: string }

export interface KnownOutsider { readonly id: string, readonly username: string, readonly disabled: boolean }

export interface Admission {
  /** For a new user; the first that is free counts. */
  readonly names: readonly string[]
  readonly roles: readonly string[]
  /** Under which origin the roles are kept, in the place of those that it gave before; without one they are not kept. */
  readonly origin?: string
  /** Told of every change before it is made: of a new user (`before` is null), and of other roles. What it throws undoes all. */
  readonly note: (change: { readonly user: KnownOutsider, readonly before: readonly string[] | null }) => void
}

/**
 * The user who this is; made when there is none yet and there are roles. An existing user is never taken over by name.
 * Undefined: there is no such user, and none was made.
 */
export async function admitOutsider (db: Kysely<Schema>, who: Outsider, admission: Admission, now: Date): Promise<KnownOutsider | undefined> {
  const known = await findOutsider(db, who)
  if (known !== undefined && admission.origin === undefined) return known
  return await db.transaction().execute(async (trx) => {
    // Two first times at once are one user.
    await sql`select pg_advisory_xact_lock(hashtextextended(${`${who.issuer} ${who.subject}`}, 1))`.execute(trx)
    const found = await findOutsider(trx, who)
    if (found === undefined) return admission.roles.length === 0 ? undefined : await insertOutsider(trx, who, admission, now)
    await syncRoles(trx, found, admission)
    return found
  })
}

async function findOutsider (db: Db, { issuer, subject }: Outsider): Promise<KnownOutsider | undefined> {
  return await db.selectFrom('user_identities as i').innerJoin('users as u', 'u.id', 'i.user_id')
    .select(['u.id', 'u.username', 'u.disabled']).where('i.issuer', '=', issuer).where('i.subject', '=', subject).executeTakeFirst()
}

async function insertOutsider (trx: Transaction<Schema>, { issuer, subject }: Outsider, { names, roles, origin, note }: Admission, now: Date): Promise<KnownOutsider | undefined> {
  for (const username of names) {
    const id = await insertUser(trx, { username, usernameNorm: username.toLowerCase(), passwordHash: null, roles: [] }, now)
    if (id === undefined) continue
    const user = { id, username, disabled: false }
    note({ user, before: null })
    await trx.insertInto('user_identities').values({ issuer, subject, user_id: id }).execute()
    if (origin !== undefined) await insertRoles(trx, id, origin, roles)
    return user
  }
  return undefined
}

async function syncRoles (trx: Transaction<Schema>, user: KnownOutsider, { roles, origin, note }: Admission): Promise<void> {
  if (origin === undefined) return
  const rows = await trx.selectFrom('user_roles').select('role').where('user_id', '=', user.id).where('source', '=', origin).orderBy('role').execute()
  const before = rows.map(({ role }) => role)
  if (before.join('\n') === [...roles].sort().join('\n')) return
  note({ user, before })
  await trx.deleteFrom('user_roles').where('user_id', '=', user.id).where('source', '=', origin).execute()
  await insertRoles(trx, user.id, origin, roles)
  await announce(trx, user.id)
}

async function insertRoles (trx: Transaction<Schema>, userId: string, source: string, roles: readonly string[]): Promise<void> {
  if (roles.length > 0) await trx.insertInto('user_roles').values(roles.map((role) => ({ user_id: userId, role, source }))).execute()
}
