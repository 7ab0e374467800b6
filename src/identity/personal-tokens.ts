import { randomUUID } from 'node:crypto'

import { pageTokens } from '../../db/pages.ts'
import { findLiveToken, insertPersonalToken, listPersonalTokens, revokePersonalToken } from '../../db/tokens.ts'
import type { PersonalTokenRow } from '../../db/tokens.ts'
import { Refusal } from '../errors.ts'
import type { Audit } from './audit.ts'
import { ADMIN_SCOPE } from './challenge.ts'
import { UUID } from './claims.ts'
import { cutPage, timePlace } from './page.ts'
import type { Page, PageRequest } from './page.ts'
import { mintPersonalToken } from './personal-token.ts'
import type { Store } from './store.ts'

export interface PersonalTokensDeps {
  readonly db: Store
  readonly audit: Audit
  readonly now: () => number
}

export interface TokenRequest {
  readonly user: { readonly id: string, readonly name: string }
  readonly name: string
  /** Patterns over `upstream/tool`; null (default) carries the user's full rights. */
  readonly scopes?: readonly string[] | null | undefined
  /** Days; default 90, at most 365. */
  readonly days?: number | undefined
  readonly source: string
  /** Who makes it for the user; the user, unless said otherwise. */
  readonly by?: Person
}

interface Person { readonly id: string, readonly name: string }

/** A personal access token as its owner may see it. The secret is not among it. */
export interface PersonalToken {
  readonly id: string
  readonly user: string
  readonly name: string
  readonly prefix: string
  readonly scopes: readonly string[] | null
  readonly createdAt: string
  readonly expiresAt: string
  readonly lastUsedAt: string | null
}

export const DEFAULT_DAYS = 90
const MOST_DAYS = 365
const MOST_TOKENS = 100
const MOST_SCOPES = 50
const DAY = 86_400_000

/** A new token, shown this once. Refuses (400) a bad name, scope or lifetime, and one token too many. */
export async function createPersonalToken ({ db, audit, now }: PersonalTokensDeps, request: TokenRequest): Promise<PersonalToken & { readonly token: string }> {
  const name = readName(request.name)
  const scopes = readScopes(request.scopes ?? null)
  const days = readDays(request.days ?? DEFAULT_DAYS)
  if ((await listPersonalTokens(db, request.user.id)).length >= MOST_TOKENS) throw invalid(`A user can have ${MOST_TOKENS} personal access tokens. Revoke one that is not needed.`)
  const { token, hash, prefix } = mintPersonalToken()
  const createdAt = new Date(now())
  const expiresAt = new Date(now() + days * DAY)
  const id = randomUUID()
  audit({ kind: 'token', principal: request.by ?? request.user, source: request.source, outcome: 'ok', detail: { action: 'create', token: id, name, scopes, expiresAt: expiresAt.toISOString(), ...(request.by !== undefined && { user: request.user.name, before: null, after: { name, scopes } }) } })
  await insertPersonalToken(db, { id, userId: request.user.id, name, prefix, secretHash: hash, scopes, createdAt, expiresAt })
  return { ...describe({ id, userId: request.user.id, username: request.user.name, name, prefix, scopes, createdAt, expiresAt, lastUsedAt: null, revokedAt: null }), token }
}

/** Of one user, or of everybody; newest first, without revoked ones. */
export async function listTokens (db: Store, userId?: string): Promise<PersonalToken[]> {
  return (await listPersonalTokens(db, userId)).map(describe)
}

/** As listTokens, a page at a time. */
export async function listTokenPage (db: Store, userId: string | undefined, { limit, after }: PageRequest): Promise<Page<PersonalToken>> {
  return cutPage(await pageTokens(db, userId, limit + 1, timePlace(after)), limit, ({ time, id }) => [time, id], describe)
}

/** Revokes at once, everywhere. Refuses (404) an id that is not there, or belongs to somebody else than `userId`. Returns the owner's id. */
export async function revokeToken ({ db, audit, now }: PersonalTokensDeps, request: { id: string, userId?: string | undefined, source: string, by?: Person }): Promise<{ userId: string, name: string }> {
  const row = UUID.test(request.id) ? await findLiveToken(db, request.id, request.userId) : undefined
  if (row === undefined) throw unknown()
  audit({ kind: 'token', principal: request.by ?? { id: row.userId, name: row.username }, source: request.source, outcome: 'ok', detail: { action: 'revoke', token: row.id, name: row.name, ...(request.by !== undefined && { user: row.username, before: { name: row.name, scopes: row.scopes }, after: null }) } })
  if (await revokePersonalToken(db, request.id, new Date(now()), request.userId) === undefined) throw unknown()
  return { userId: row.userId, name: row.name }
}

function unknown (): Refusal {
  return new Refusal('PORTCULLIS_NOT_FOUND', { message: 'There is no personal access token with this id. List them with GET /auth/tokens or `portcullis token list`.' })
}

function describe (row: PersonalTokenRow): PersonalToken {
  return {
    id: row.id,
    user: row.username,
    name: row.name,
    prefix: row.prefix,
    scopes: row.scopes,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  }
}

function readName (name: string): string {
  const text = name.trim()
  if (/^[^\p{C}]{1,64}$/u.test(text)) return text
  throw invalid('The name of a token is 1 to 64 printable characters, for example the machine or program it is for.')
}

function readScopes (scopes: readonly string[] | null): readonly string[] | null {
  if (scopes === null) return null
  if (scopes.length === 0 || scopes.length > MOST_SCOPES) throw invalid(`A token has 1 to ${MOST_SCOPES} scopes, or none to carry all of its user's rights.`)
  const at = scopes.findIndex((scope) => scope !== ADMIN_SCOPE && !/^[a-z0-9*-]{1,64}\/[^\s\p{C}]{1,200}$/u.test(scope))
  if (at >= 0) throw invalid(`Scope ${at + 1} is not a pattern over upstream/tool, for example files/read_* or github/*.`)
  return [...new Set(scopes)]
}

function readDays (days: number): number {
  if (Number.isInteger(days) && days >= 1 && days <= MOST_DAYS) return days
  throw invalid(`A token lives 1 to ${MOST_DAYS} whole days (${DEFAULT_DAYS} unless you say).`)
}

function invalid (message: string): Refusal {
  return new Refusal('PORTCULLIS_INVALID_REQUEST', { message })
}
