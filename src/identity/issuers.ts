import { createHash } from 'node:crypto'

import { decodeJwt, errors, jwtVerify } from 'jose'
import type { JWTPayload, JWTVerifyGetKey, JWTVerifyResult } from 'jose'
import { LRUCache } from 'lru-cache'

import type { IssuerSpec } from '../config/identity-spec.ts'
import { Refusal } from '../errors.ts'
import { claimOf, isOverfull, nameIn, rolesOf } from './claim-mapping.ts'
import type { Facts } from './claim-mapping.ts'
import { CLOCK_TOLERANCE } from './claims.ts'
import { KeysUnavailable, openIssuerKeys } from './issuer-keys.ts'
import type { Vouched } from './outsiders.ts'

/** A token of somebody else's that is good now, and what it says. */
export interface ForeignToken extends Vouched {
  readonly tokenId: string
  readonly clientId: string
  /** Unix milliseconds. */
  readonly expiresAt: number
  /** When its signature has to be looked at again, since the key may have been withdrawn meanwhile; Unix milliseconds. */
  readonly checkAgainAt: number
}

export interface Issuers {
  /** Whether the token says that it is of one of these issuers. Nothing about it is proven yet. */
  claimToKnow (token: string): boolean
  /** Refuses 401 PORTCULLIS_INVALID_TOKEN, and 503 PORTCULLIS_ISSUER_UNAVAILABLE when the keys cannot be had. */
  verify (token: string): Promise<ForeignToken>
}

interface Known { readonly spec: IssuerSpec, readonly keys: JWTVerifyGetKey }

/** How long a signature is taken as looked at, in milliseconds: as long as the keys are; less while they cannot be had. */
const FRESH = 600_000
const SOON = 1000
const REMEMBERED = 10_000

/** The issuers whose access tokens are accepted for calls, by the exact text of `iss`. */
export function openIssuers (specs: readonly IssuerSpec[], now: () => number): Issuers {
  const known = new Map<string, Known>(specs.map((spec) => [spec.issuer, { spec, keys: openIssuerKeys(spec.jwks, now) }]))
  const seen = new LRUCache<string, ForeignToken>({ max: REMEMBERED })

  async function verify (token: string): Promise<ForeignToken> {
    const issuer = known.get(issuerOf(token) ?? '')
    if (issuer === undefined) throw invalid(new Error('unknown issuer'))
    const remembered = seen.get(token)
    try {
      const fresh = await examine(token, issuer, now())
      seen.set(token, fresh)
      return fresh
    } catch (error) {
      if (!(error instanceof KeysUnavailable)) {
        seen.delete(token)
        throw error instanceof errors.JWTExpired ? invalid(error, EXPIRED) : error instanceof Refusal ? error : invalid(error)
      }
      // It was good when its issuer could still be asked, and is good until it expires.
      if (remembered !== undefined && now() < remembered.expiresAt) return { ...remembered, checkAgainAt: now() + SOON }
      throw new Refusal('PORTCULLIS_ISSUER_UNAVAILABLE', { headers: { 'retry-after': '2' }, data: { retryAfterMs: 2000 }, cause: error })
    }
  }

  return { verify, claimToKnow: (token) => known.size > 0 && known.has(issuerOf(token) ?? '') }
}

async function examine (token: string, { spec, keys }: Known, time: number): Promise<ForeignToken> {
  const verified = await jwtVerify(token, keys, {
    issuer: spec.issuer,
    audience: spec.audience,
    algorithms: [...spec.algorithms],
    requiredClaims: ['sub', 'exp'],
    clockTolerance: CLOCK_TOLERANCE / 1000,
    currentDate: new Date(time),
  })
  const problem = problemOf(verified, spec)
  if (problem !== undefined) throw invalid(new Error(problem))
  const { payload } = verified
  const roles = rolesOf(payload, spec)
  if (roles.length === 0) throw invalid(new Error(isOverfull(payload, spec) ? 'its issuer left the groups out: there are too many' : 'none of its groups has a role'), UNWANTED)
  return {
    via: spec.name,
    issuer: spec.issuer,
    subject: String(payload.sub),
    name: nameIn(payload, spec),
    roles,
    tokenId: shortText(payload.jti) ?? createHash('sha256').update(token).digest('base64url'),
    // With the issuer before it: a client of somebody else's may be called like one of ours.
    clientId: `${spec.name}:${shortText(payload['client_id'] ?? payload['azp'] ?? payload['appid']) ?? ''}`,
    expiresAt: Number(payload.exp) * 1000 + CLOCK_TOLERANCE,
    checkAgainAt: time + FRESH,
  }
}

/** What the signature does not tell. */
function problemOf ({ payload, protectedHeader: { typ } }: JWTVerifyResult, spec: IssuerSpec): string | undefined {
  if (typ !== undefined && !ACCESS_TOKENS.has(typ.toLowerCase())) return 'it is another kind of token'
  if (typeof payload.sub !== 'string' || payload.sub === '' || payload.sub.length > LONGEST) return 'sub is not a name'
  const missing = Object.entries(spec.require).find(([claim, value]) => !holds(payload, claim, value))
  return missing === undefined ? undefined : `${missing[0]} is not what is required`
}

/** `JWT` says nothing; whatever else a token may be is made for another purpose (RFC 8725 section 3.11). */
const ACCESS_TOKENS: ReadonlySet<string> = new Set(['jwt', 'at+jwt', 'application/at+jwt'])

/** Whether a claim has this value, or is a list with it; scopes are a list too (RFC 8693 section 4.2). */
function holds (payload: JWTPayload, claim: string, wanted: string): boolean {
  const value = claimOf(payload as Facts, claim)
  if (Array.isArray(value)) return value.includes(wanted)
  return value === wanted || ((claim === 'scope' || claim === 'scp') && typeof value === 'string' && value.split(' ').includes(wanted))
}

/** What the token says of its issuer, without trusting it; undefined when it is no JWT. */
function issuerOf (token: string): string | undefined {
  try {
    const { iss } = decodeJwt(token)
    return typeof iss === 'string' ? iss : undefined
  } catch {
    return undefined
  }
}

const LONGEST = 255

function shortText (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= LONGEST ? value : undefined
}

const EXPIRED = 'The access token has expired. Get a new one where this one came from.'
const UNWANTED = 'This token is good, but nothing that it says of you has a role here. Ask the administrator.'

function invalid (cause: unknown, message = 'The access token is not valid here. Get a new one where this one came from, or ask the administrator.'): Refusal {
  return new Refusal('PORTCULLIS_INVALID_TOKEN', { message, cause })
}
