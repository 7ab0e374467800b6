import { LRUCache } from 'lru-cache'

import { findPersonalToken } from '../../db/tokens.ts'
import type { PersonalTokenRow } from '../../db/tokens.ts'
import type { Principal } from '../call.ts'
import { Refusal } from '../errors.ts'
import { readAudience } from './audience.ts'
import type { Audience } from './audience.ts'
import type { Audit } from './audit.ts'
import { readBearer } from './bearer.ts'
import { SCOPE } from './challenge.ts'
import { CLOCK_TOLERANCE, keyIdOf, readClaims } from './claims.ts'
import type { Claims, TokenFormat } from './claims.ts'
import type { Issuers } from './issuers.ts'
import { admit } from './outsiders.ts'
import { isPersonalToken, readPersonalToken } from './personal-token.ts'
import type { SigningKeys } from './signing-keys.ts'
import type { Standing, Standings } from './standing.ts'
import { reach, unreachable } from './store.ts'
import type { Store } from './store.ts'

export interface Authenticator {
  /** Header value → principal; synchronously when it is remembered. Throws or rejects with a Refusal (401, 503). */
  authenticate (authorization: string | undefined): Principal | Promise<Principal>
  /** The claims of an access token, when it is good now; for what a principal doesn't tell. */
  claims (token: string): Promise<Claims>
  /** Personal access tokens used since the last time this was asked, with when. */
  takeUses (): Map<string, number>
}

/** `until`: Unix milliseconds after which the way that led to the principal has to be gone again. */
interface Found { readonly principal: Principal, readonly standing: Standing, readonly until: number }

interface Entry extends Found { readonly authorization: string, usedAt: number }

export interface AuthenticatorOptions {
  readonly db: Store
  readonly standings: Standings
  readonly keys: SigningKeys
  readonly issuers: Issuers
  readonly format: TokenFormat
  readonly audit: Audit
  readonly publicUrl: string
  readonly now: () => number
}

const REMEMBERED = 10_000

export function openAuthenticator ({ db, standings, keys, issuers, format, audit, publicUrl, now }: AuthenticatorOptions): Authenticator {
  let uses = new Map<string, number>()
  const cache = new LRUCache<number, Entry>({ max: REMEMBERED, dispose: (entry) => noteUse(entry) })
  const pending = new Map<string, Promise<Principal>>()

  /** A remembered principal counts only while nothing about its user changed, it has not expired, and the database is in sight. */
  function authenticate (authorization: string | undefined): Principal | Promise<Principal> {
    const entry = authorization === undefined ? undefined : cache.get(fingerprint(authorization))
    if (entry !== undefined && entry.authorization === authorization) {
      const time = now()
      if (entry.standing.current && time < entry.until && time < standings.freshUntil) {
        entry.usedAt = time
        return entry.principal
      }
    }
    return establish(authorization)
  }

  /** Many calls that start with the same new token verify it once. */
  function establish (authorization: string | undefined): Promise<Principal> {
    const token = readBearer(authorization)
    if (now() >= standings.freshUntil) throw unreachable(new Error('the database has been silent for too long'))
    const key = authorization ?? ''
    let found = pending.get(key)
    if (found === undefined) {
      found = identify(key, token).finally(() => { pending.delete(key) })
      pending.set(key, found)
    }
    return found
  }

  async function identify (authorization: string, token: string): Promise<Principal> {
    const epoch = standings.epoch
    const { principal, standing, until } = await find(token)
    // A change while we looked may have been about this very token: what we saw is good for this call, not for the next.
    const entry = { authorization, principal, standing, until, usedAt: now() }
    if (standing.current && standings.epoch === epoch) cache.set(fingerprint(authorization), entry)
    else noteUse(entry)
    return principal
  }

  async function find (token: string): Promise<Found> {
    if (isPersonalToken(token)) return await byPersonalToken(token)
    return issuers.claimToKnow(token) ? await byForeignToken(token) : await byAccessToken(token)
  }

  async function byAccessToken (token: string): Promise<Found> {
    const verified = await claims(token)
    const standing = await present(verified.sub)
    if (verified.tv < standing.tokenVersion || standing.denied.has(verified.gid) || standing.denied.has(verified.jti)) throw invalid('This login has ended. Log in again with POST /auth/login.')
    const { upstream } = audience(verified)
    return found(standing, {
      roles: standing.roles,
      tokenId: verified.jti,
      tokenKind: 'access',
      clientId: verified.client_id,
      scopes: upstream === undefined ? null : [`${upstream}/*`],
      expiresAt: verified.exp * 1000 + CLOCK_TOLERANCE,
      ...(upstream !== undefined && { upstream }),
    })
  }

  /** The groups in a token count as long as it does, beside the roles that its user has here. */
  async function byForeignToken (token: string): Promise<Found> {
    const verified = await issuers.verify(token)
    const user = await admit({ db, audit, now }, verified, { keep: false })
    if (user === undefined) throw invalid(undefined, new Error('no name is free for this user'))
    const standing = await present(user.id)
    const roles = Object.freeze([...new Set([...standing.roles, ...verified.roles])])
    const { tokenId, clientId, expiresAt, checkAgainAt } = verified
    return found(standing, { roles, tokenId, tokenKind: 'foreign', clientId, scopes: null, expiresAt }, checkAgainAt)
  }

  /** What the token is for, when it is for us and for calls. */
  function audience ({ aud, scope }: Claims): Audience {
    const found = readAudience(publicUrl, aud)
    if (found === undefined) throw invalid(undefined, new Error('the token is for somebody else'))
    if (!scope.split(' ').includes(SCOPE)) throw new Refusal('PORTCULLIS_INSUFFICIENT_SCOPE')
    return found
  }

  async function claims (token: string): Promise<Claims> {
    const kid = keyIdOf(token)
    if (kid === undefined) throw invalid(undefined, new Error('no key id'))
    if (await reach(async () => await keys.find(kid)) === undefined) throw invalid(undefined, new Error('unknown key id'))
    const payload = await format.verify(token).catch((error: unknown) => { throw refusalOf(error) })
    const verified = readClaims(payload)
    if (verified === undefined) throw invalid(undefined, new Error('a claim is missing or has the wrong type'))
    if (now() >= verified.exp * 1000 + CLOCK_TOLERANCE) throw expired()
    return verified
  }

  async function byPersonalToken (token: string): Promise<Found> {
    const hash = readPersonalToken(token)
    if (hash === undefined) throw invalid('This personal access token is cut off or mistyped: its checksum does not match. Copy it again, whole.')
    const row = await reach(async () => await findPersonalToken(db, hash))
    if (row === undefined) throw invalid('This personal access token is not known here. Create one with POST /auth/tokens or `portcullis token create`.')
    refuseDead(row, now())
    const standing = await present(row.userId)
    return found(standing, { roles: standing.roles, tokenId: row.id, tokenKind: 'personal', clientId: 'portcullis', scopes: row.scopes, expiresAt: row.expiresAt.getTime() })
  }

  /** The user, who exists and is not disabled. */
  async function present (userId: string): Promise<Standing> {
    let standing: Standing | undefined
    do standing = await standings.get(userId)
    while (standing?.current === false)
    if (standing === undefined || standing.disabled) throw invalid('The account of this token is disabled or gone. Ask the administrator.')
    return standing
  }

  function noteUse ({ principal, usedAt }: Entry): void {
    if (principal.tokenKind === 'personal' && usedAt > 0) uses.set(principal.tokenId, usedAt)
  }

  function takeUses (): Map<string, number> {
    for (const entry of cache.values()) {
      noteUse(entry)
      entry.usedAt = 0
    }
    const taken = uses
    uses = new Map()
    return taken
  }

  return { authenticate, claims, takeUses }
}

/**
 * A small number for a header value, from the part of it that is random in both kinds of token. V8 would hash all of a
 * 700-character string, which costs more than all the rest of a hit; equality of the whole value is checked beside it.
 */
function fingerprint (authorization: string): number {
  const end = authorization.length - 8
  let hash = 0
  for (let at = end - 8; at < end; at++) hash = Math.imul(hash, 31) + authorization.charCodeAt(at) | 0
  return hash
}

function found (standing: Standing, token: Omit<Principal, 'id' | 'name'>, checkAgainAt = Infinity): Found {
  const principal = Object.freeze({ id: standing.id, name: standing.name, ...token })
  return { standing, principal, until: Math.min(principal.expiresAt, checkAgainAt) }
}

function refuseDead (row: PersonalTokenRow, now: number): void {
  const again = 'Create a new one with POST /auth/tokens or `portcullis token create`.'
  if (row.revokedAt !== null) throw invalid(`This personal access token ("${row.name}") was revoked. ${again}`)
  if (row.expiresAt.getTime() <= now) throw invalid(`This personal access token ("${row.name}") expired on ${row.expiresAt.toISOString().slice(0, 10)}. ${again}`)
}

/** Expiry is told, since it is checked after the signature; everything else stays in the log. */
function refusalOf (error: unknown): Refusal {
  return error instanceof Error && 'code' in error && error.code === 'FAST_JWT_EXPIRED' ? expired(error) : invalid(undefined, error)
}

function expired (cause?: unknown): Refusal {
  return invalid('The access token has expired. Refresh it with POST /auth/refresh, or log in again with POST /auth/login.', cause)
}

function invalid (message?: string, cause?: unknown): Refusal {
  return new Refusal('PORTCULLIS_INVALID_TOKEN', { ...(message !== undefined && { message }), cause })
}
