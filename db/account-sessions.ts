import type { Kysely } from 'kysely'

import type { Schema } from './schema.ts'

const KIND = 'AccountSession'

/** Somebody who is logged in on the account pages. It ends with the user's other logins: whatever ends those deletes this row. */
export interface AccountSessionRow {
  readonly gid: string
  readonly userId: string
  readonly username: string
  /** Somebody who always logs in elsewhere has none. */
  readonly hasPassword: boolean
}

/** `id` is the hash of a secret that the browser alone keeps. */
export async function insertAccountSession (db: Kysely<Schema>, session: { readonly id: string, readonly gid: string, readonly userId: string, readonly clientId: string, readonly startedAt: number, readonly expiresAt: Date }): Promise<void> {
  await db.insertInto('oauth_artifacts').values({
    kind: KIND,
    id: session.id,
    payload: JSON.stringify({ startedAt: session.startedAt }),
    grant_id: session.gid,
    client_id: session.clientId,
    account_id: session.userId,
    expires_at: session.expiresAt,
  }).execute()
}

/** The session with this id, while it has not expired and its user is not disabled. */
export async function findAccountSession (db: Kysely<Schema>, id: string, now: Date): Promise<AccountSessionRow | undefined> {
  return await db.selectFrom('oauth_artifacts as a').innerJoin('users as u', (join) => join.on((eb) => eb('a.account_id', '=', eb.cast<string>('u.id', 'text'))))
    .select((eb) => ['a.grant_id as gid', 'u.id as userId', 'u.username', eb('u.password_hash', 'is not', null).as('hasPassword')]).$narrowType<{ gid: string, hasPassword: boolean }>()
    .where('a.kind', '=', KIND).where('a.id', '=', id).where('a.expires_at', '>', now).where('u.disabled', '=', false).executeTakeFirst()
}

export async function deleteAccountSession (db: Kysely<Schema>, id: string): Promise<void> {
  await db.deleteFrom('oauth_artifacts').where('kind', '=', KIND).where('id', '=', id).execute()
}
