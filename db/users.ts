import { sql, type Kysely, type Transaction } from 'kysely'

import type { Schema } from './schema.ts'

type Db = Kysely<Schema> | Transaction<Schema>

/** Where every process that keeps identities in memory listens; the payload is a user id. */
export const IDENTITY_CHANNEL = 'identity_changed'

/** Tells every gateway, when the transaction commits, that what it knows of this user is old. */
export async function announce (trx: Db, userId: string): Promise<void> {
  await sql`select pg_notify(${IDENTITY_CHANNEL}, ${userId})`.execute(trx)
}

export interface UserRow {
  readonly id: string
  readonly username: string
  readonly disabled: boolean
  readonly tokenVersion: number
  readonly roles: readonly string[]
}

export interface LoginRow extends UserRow {
  readonly passwordHash: string | null
}

/** One user with roles and password hash, by normalised name. */
export async function findForLogin (db: Db, usernameNorm: string): Promise<LoginRow | undefined> {
  return await users(db).select('users.password_hash as passwordHash').where('users.username_norm', '=', usernameNorm).executeTakeFirst()
}

/** One user with roles and password hash, by id. */
export async function findById (db: Db, id: string): Promise<LoginRow | undefined> {
  return await users(db).select('users.password_hash as passwordHash').where('users.id', '=', id).executeTakeFirst()
}

export interface StateRow extends UserRow {
  /** `gid`s and `jti`s that must not be honoured. */
  readonly denied: readonly string[]
}

/** All that authentication must know of these users. */
export async function loadStates (db: Db, ids: readonly string[], now: Date): Promise<StateRow[]> {
  return await users(db)
    .select(sql<string[]>`array(select r.id from token_revocations r where r.user_id = users.id and r.expires_at > ${now})`.as('denied'))
    .where('users.id', 'in', ids)
    .execute()
}

export interface UserListRow extends UserRow {
  readonly kind: 'human' | 'service'
  readonly createdAt: Date
}

export async function listUsers (db: Db): Promise<UserListRow[]> {
  return await users(db).select(['users.kind', 'users.created_at as createdAt']).orderBy('users.username_norm').execute()
}

export interface NewUser {
  readonly username: string
  readonly usernameNorm: string
  readonly passwordHash: string | null
  readonly roles: readonly string[]
  readonly kind?: 'human' | 'service'
}

/** The id of the new user, or undefined when the name is taken. */
export async function insertUser (db: Db, user: NewUser, now: Date): Promise<string | undefined> {
  return await inTransaction(db, async (trx) => {
    const row = await trx.insertInto('users')
      .values({ username: user.username, username_norm: user.usernameNorm, password_hash: user.passwordHash, password_changed_at: now, ...(user.kind !== undefined && { kind: user.kind }) })
      .onConflict((conflict) => conflict.column('username_norm').doNothing())
      .returning('id').executeTakeFirst()
    if (row === undefined) return undefined
    await insertRoles(trx, row.id, user.roles)
    await announce(trx, row.id)
    return row.id
  })
}

/** Creates this user when there is no user at all, under a lock: of several first starts exactly one gets an id. */
export async function insertFirstUser (db: Kysely<Schema>, user: NewUser, now: Date): Promise<string | undefined> {
  return await db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(hashtext('portcullis first user'))`.execute(trx)
    return await hasUsers(trx) ? undefined : await insertUser(trx, user, now)
  })
}

export async function hasUsers (db: Db): Promise<boolean> {
  return await db.selectFrom('users').select('id').limit(1).executeTakeFirst() !== undefined
}

/** Replaces the roles that were granted here; those that an identity provider granted stay. */
export async function setRoles (db: Kysely<Schema>, userId: string, roles: readonly string[]): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx.deleteFrom('user_roles').where('user_id', '=', userId).where('source', '=', 'local').execute()
    await insertRoles(trx, userId, roles)
    await announce(trx, userId)
  })
}

/** Disabling also ends every login of the user, for good: enabling again does not bring them back. */
export async function setDisabled (db: Kysely<Schema>, userId: string, disabled: boolean): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx.updateTable('users').set({ disabled }).where('id', '=', userId).execute()
    if (disabled) await endLogins(trx, userId)
    await announce(trx, userId)
  })
}

/** A new password ends every login of the user. Returns the new token version. */
export async function setPassword (db: Kysely<Schema>, userId: string, passwordHash: string, now: Date): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    await trx.updateTable('users').set({ password_hash: passwordHash, password_changed_at: now }).where('id', '=', userId).execute()
    const version = await endLogins(trx, userId)
    await announce(trx, userId)
    return version
  })
}

/** Stores the same password hashed with newer parameters; ends nothing. */
export async function replaceHash (db: Db, userId: string, from: string, to: string): Promise<void> {
  await db.updateTable('users').set({ password_hash: to }).where('id', '=', userId).where('password_hash', '=', from).execute()
}

/** With roles, tokens and clients. */
export async function deleteUser (db: Kysely<Schema>, userId: string): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx.deleteFrom('oauth_artifacts').where('account_id', '=', userId).execute()
    await trx.deleteFrom('users').where('id', '=', userId).execute()
    await announce(trx, userId)
  })
}

async function endLogins (trx: Db, userId: string): Promise<number> {
  await trx.deleteFrom('oauth_artifacts').where('account_id', '=', userId).execute()
  const row = await trx.updateTable('users').set((eb) => ({ token_version: eb('token_version', '+', 1) })).where('id', '=', userId).returning('token_version').executeTakeFirst()
  return row?.token_version ?? 0
}

async function insertRoles (trx: Db, userId: string, roles: readonly string[]): Promise<void> {
  if (roles.length === 0) return
  const rows = [...new Set(roles)].map((role) => ({ user_id: userId, role }))
  await trx.insertInto('user_roles').values(rows).onConflict((conflict) => conflict.doNothing()).execute()
}

/** With their roles, whoever granted them. */
export function users (db: Db) {
  return db.selectFrom('users').select([
    'users.id', 'users.username', 'users.disabled', 'users.token_version as tokenVersion',
    sql<string[]>`array(select distinct r.role from user_roles r where r.user_id = users.id order by r.role)`.as('roles'),
  ])
}

async function inTransaction<T> (db: Db, work: (trx: Transaction<Schema>) => Promise<T>): Promise<T> {
  return db.isTransaction ? await work(db as Transaction<Schema>) : await db.transaction().execute(work)
}
