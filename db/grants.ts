import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** One way in that a user has open: a program that was let in, or a login with the password. */
export interface GrantRow {
  readonly id: string
  readonly clientId: string
  /** What the client calls itself, if it registered. */
  readonly name: string | null
  /** Addresses that a program may use; empty for a login. */
  readonly resources: readonly string[]
  readonly startedAt: Date
  readonly lastUsedAt: Date
  readonly expiresAt: Date
}

/** Client id of a browser that stays logged in on the login page. */
export const BROWSER_LOGIN = 'portcullis-browser'

/** Newest first. Grants hold the kind `oauth.Grant`; logins of the first-party client are known by their refresh tokens, those of browsers are sessions. */
export async function listGrants (db: Kysely<Schema>, userId: string, now: Date): Promise<GrantRow[]> {
  const { rows } = await sql<Omit<GrantRow, 'resources'> & { resources: string | null }>`
    select a.grant_id as id, min(a.client_id) as "clientId", min(c.metadata ->> 'client_name') as name, max((a.payload -> 'resources')::text) filter (where a.kind = 'oauth.Grant') as resources,
      to_timestamp(min(coalesce((a.payload ->> 'iat')::float8, (a.payload ->> 'startedAt')::float8 / 1000))) as "startedAt",
      to_timestamp(max(coalesce((a.payload ->> 'iat')::float8, (a.payload ->> 'startedAt')::float8 / 1000))) as "lastUsedAt",
      max(a.expires_at) as "expiresAt"
    from oauth_artifacts a left join oauth_clients c on c.client_id = a.client_id
    where a.account_id = ${userId} and a.grant_id is not null and a.kind in ('oauth.Grant', 'oauth.RefreshToken', 'RefreshToken', 'AccountSession') and a.expires_at > ${now}
    group by a.grant_id
    union all
    select s.uid, ${BROWSER_LOGIN}, null, null, to_timestamp(coalesce(s.payload ->> 'loginTs', s.payload ->> 'iat')::float8), to_timestamp((s.payload ->> 'iat')::float8), s.expires_at
    from oauth_artifacts s where s.account_id = ${userId} and s.kind = 'oauth.Session' and s.uid is not null and s.expires_at > ${now}
    order by "startedAt" desc, id`.execute(db)
  return rows.map((row) => ({ ...row, resources: Object.keys(JSON.parse(row.resources ?? '{}') as object) }))
}

/** The open grants of one client, whoever gave them. */
export async function findClientGrants (db: Kysely<Schema>, clientId: string, now: Date): Promise<{ readonly grantId: string, readonly userId: string }[]> {
  const { rows } = await sql<{ grantId: string, userId: string }>`
    select distinct grant_id as "grantId", account_id as "userId" from oauth_artifacts
    where client_id = ${clientId} and grant_id is not null and account_id is not null and kind in ('oauth.Grant', 'oauth.RefreshToken', 'oauth.AuthorizationCode') and expires_at > ${now}`.execute(db)
  return rows
}

/** Ends the login of one browser on the login page, by its public or its secret name; never one of somebody else. */
export async function deleteBrowserLogin (db: Kysely<Schema>, userId: string, by: { readonly uid: string } | { readonly secret: string }): Promise<void> {
  const [column, name] = 'uid' in by ? ['uid' as const, by.uid] : ['id' as const, by.secret]
  await db.deleteFrom('oauth_artifacts').where('kind', '=', 'oauth.Session').where('account_id', '=', userId).where(column, '=', name).execute()
}
