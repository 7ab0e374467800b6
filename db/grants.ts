import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** One way in that a user has open: a program that was let in, or a login with the password. */
export interface GrantRow {
  readonly id: string
  readonly clientId: string
  /** What the client calls itself, if it registered. */
  readonly name: string | null
  readonly startedAt: Date
  readonly lastUsedAt: Date
  readonly expiresAt: Date
}

/** Newest first. Grants hold the kind `oauth.Grant`; logins of the first-party client are known by their refresh tokens. */
export async function listGrants (db: Kysely<Schema>, userId: string, now: Date): Promise<GrantRow[]> {
  const { rows } = await sql<GrantRow>`
    select a.grant_id as id, min(a.client_id) as "clientId", min(c.metadata ->> 'client_name') as name,
      to_timestamp(min(coalesce((a.payload ->> 'iat')::float8, (a.payload ->> 'startedAt')::float8 / 1000))) as "startedAt",
      to_timestamp(max(coalesce((a.payload ->> 'iat')::float8, (a.payload ->> 'startedAt')::float8 / 1000))) as "lastUsedAt",
      max(a.expires_at) as "expiresAt"
    from oauth_artifacts a left join oauth_clients c on c.client_id = a.client_id
    where a.account_id = ${userId} and a.grant_id is not null and a.kind in ('oauth.Grant', 'oauth.RefreshToken', 'RefreshToken') and a.expires_at > ${now}
    group by a.grant_id order by 4 desc`.execute(db)
  return rows
}
