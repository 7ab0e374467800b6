import { randomBytes, randomUUID } from 'node:crypto'

import { BROWSER_LOGIN } from '../../db/grants.ts'
import { insertRefresh } from '../../db/refresh-tokens.ts'
import { SCOPE } from './challenge.ts'
import { CLOCK_TOLERANCE } from './claims.ts'
import type { TokenFormat } from './claims.ts'
import { hashToken } from './personal-token.ts'
import type { Store } from './store.ts'
import type { IdentityTally, TokenGrant } from './tally.ts'

/** What POST /auth/login and /auth/refresh answer (RFC 6749 section 5.1). */
export interface TokenPair {
  readonly access_token: string
  readonly token_type: 'Bearer'
  /** Seconds. */
  readonly expires_in: number
  readonly refresh_token: string
  readonly scope: string
}

/** Seconds. Longer than the five minutes before expiry at which clients begin to refresh. */
const ACCESS_LIFE = 15 * 60

/** The first-party client: POST /auth/login. */
export const CLIENT = 'portcullis'

/** The account pages: a login there is no token, and good for nothing else. */
export const ACCOUNT = 'portcullis-account'

/** Client ids that mean the gateway itself. */
export const OWN_CLIENTS: ReadonlySet<string> = new Set([CLIENT, ACCOUNT, BROWSER_LOGIN])

const DAY = 86_400_000
/** A login ends after 30 days without use, and after 90 in any case. */
const IDLE_LIFE = 30 * DAY
const WHOLE_LIFE = 90 * DAY

/** One login: everything that comes of it shares these. */
export interface Grant {
  readonly gid: string
  readonly userId: string
  readonly clientId: string
  readonly tokenVersion: number
  /** Unix milliseconds. */
  readonly startedAt: number
  readonly scope: string
}

export interface IssueDeps {
  readonly format: TokenFormat
  readonly issuer: string
  readonly audience: string
  readonly now: () => number
  readonly tally?: IdentityTally | undefined
}

function newGrant (userId: string, tokenVersion: number, now: number): Grant {
  return { gid: randomUUID(), userId, clientId: CLIENT, tokenVersion, startedAt: now, scope: SCOPE }
}

/** Stores a refresh token for the grant and returns it; only its hash is kept. */
export async function issueRefresh (db: Parameters<typeof insertRefresh>[0], grant: Grant, now: number): Promise<string> {
  const token = `portcullis_rt_${randomBytes(32).toString('base64url')}`
  const expiresAt = new Date(Math.min(now + IDLE_LIFE, grant.startedAt + WHOLE_LIFE))
  await insertRefresh(db, { ...grant, id: refreshId(token), expiresAt })
  return token
}

/** The pair for a grant whose refresh token is already stored. */
export function issuePair ({ format, issuer, audience, now, tally }: IssueDeps, grant: Grant, refreshToken: string, how: TokenGrant): TokenPair {
  const iat = Math.floor(now() / 1000)
  const accessToken = format.sign({
    iss: issuer,
    aud: audience,
    sub: grant.userId,
    exp: iat + ACCESS_LIFE,
    iat,
    jti: randomUUID(),
    client_id: grant.clientId,
    scope: grant.scope,
    gid: grant.gid,
    tv: grant.tokenVersion,
  })
  tally?.tokenIssued(how)
  return { access_token: accessToken, token_type: 'Bearer', expires_in: ACCESS_LIFE, refresh_token: refreshToken, scope: grant.scope }
}

export async function startGrant (deps: IssueDeps & { readonly db: Store }, userId: string, tokenVersion: number): Promise<TokenPair> {
  const grant = newGrant(userId, tokenVersion, deps.now())
  return issuePair(deps, grant, await issueRefresh(deps.db, grant, deps.now()), 'password')
}

export function refreshId (token: string): string {
  return hashToken(token).toString('base64url')
}

/** Until when a revoked grant must be remembered: by then its last access token has expired. */
export function deniedUntil (now: number): Date {
  return new Date(now + ACCESS_LIFE * 1000 + 2 * CLOCK_TOLERANCE)
}
