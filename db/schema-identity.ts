import type { ColumnType, Generated } from 'kysely'

/** Timestamps are read as Date and may be left to the column's default. */
type Stamp = ColumnType<Date, Date | undefined, Date>

export interface UsersTable {
  id: Generated<string>
  username: string
  /** Lower case: `Alice` and `alice` are one person. */
  username_norm: string
  kind: ColumnType<'human' | 'service', 'human' | 'service' | undefined, 'human' | 'service'>
  /** argon2id in PHC format; null for people who log in elsewhere and for services. */
  password_hash: string | null
  disabled: Generated<boolean>
  /** An access token or refresh token with a lower number is dead. */
  token_version: Generated<number>
  password_changed_at: Date | null
  created_at: Stamp
}

export interface UserRolesTable {
  user_id: string
  role: string
  /** `local`, or `idp:<name>` when an identity provider granted it. */
  source: Generated<string>
}

export interface PersonalAccessTokensTable {
  id: Generated<string>
  user_id: string
  name: string
  /** The first characters of the token, so that its owner recognises it in a list. */
  prefix: string
  secret_sha256: Buffer
  /** Patterns over `upstream/tool`; null carries the user's full rights. */
  scopes: string[] | null
  created_at: Stamp
  expires_at: Date
  last_used_at: Date | null
  revoked_at: Date | null
}

/** What an authorization server keeps between requests, by kind; refresh tokens are kind `RefreshToken`. */
export interface OAuthArtifactsTable {
  kind: string
  /** sha256 of the secret, base64url. */
  id: string
  payload: ColumnType<unknown, string, string>
  grant_id: string | null
  user_code: string | null
  uid: string | null
  client_id: string | null
  account_id: string | null
  consumed_at: Date | null
  expires_at: Date
}

export interface OAuthClientsTable {
  client_id: string
  /** RFC 7591; a secret is kept as its sha256. */
  metadata: ColumnType<unknown, string, string>
  source: 'registered' | 'admin'
  /** The service user as whom the client acts by itself; null when it acts for people. */
  user_id: string | null
  created_at: Stamp
  /** Null until the first person lets it in. */
  last_used_at: Date | null
}

export interface TokenRevocationsTable {
  /** A `gid` (one login and everything that came of it) or a `jti` (one access token). */
  id: string
  user_id: string
  expires_at: Date
}

export interface SigningKeysTable {
  kid: string
  alg: string
  /** PKCS #8, sealed under the master key. */
  private_key: Buffer
  state: 'next' | 'active' | 'retired'
  not_before: Date
  retire_at: Date | null
}

export interface PayloadKeysTable {
  key_id: string
  user_id: string
  /** Sealed under the master key; null once it was destroyed. */
  wrapped: Buffer | null
  created_at: Stamp
  destroyed_at: Date | null
}

export interface LedgerSinksTable {
  name: string
  /** Written as text. */
  position: ColumnType<unknown, string | undefined, string>
  owner: string
  leased_until: Date
  caught_up_at: Stamp
}

export interface LoginAttemptsTable {
  /** HMAC of the user name, so that the table names nobody, and unknown names look like known ones. */
  key_hmac: Buffer
  failed: number
  locked_until: Date | null
  last_at: Date
}

/** Sessions of clients that were ended before their ids expire. */
export interface EndedSessionsTable {
  seal: string
  expires_at: Date
}

export interface UserIdentitiesTable {
  issuer: string
  /** Unique within its issuer. */
  subject: string
  user_id: string
  created_at: Stamp
}

export interface IdentitySchema {
  users: UsersTable
  user_roles: UserRolesTable
  personal_access_tokens: PersonalAccessTokensTable
  oauth_artifacts: OAuthArtifactsTable
  oauth_clients: OAuthClientsTable
  token_revocations: TokenRevocationsTable
  signing_keys: SigningKeysTable
  payload_keys: PayloadKeysTable
  ledger_sinks: LedgerSinksTable
  login_attempts: LoginAttemptsTable
  ended_sessions: EndedSessionsTable
  user_identities: UserIdentitiesTable
}
