/** What an access token says (RFC 9068), and what of it we rely on. */
export interface Claims {
  readonly iss: string
  readonly aud: string
  /** User id. */
  readonly sub: string
  /** Unix seconds. */
  readonly exp: number
  readonly iat: number
  readonly jti: string
  readonly client_id: string
  readonly scope: string
  /** The login this token came of. */
  readonly gid: string
  /** Token version of the user when the login happened. */
  readonly tv: number
}

/** How claims become a token and back. Whoever verifies has checked signature, type, issuer, audience and times. */
export interface TokenFormat {
  sign (claims: Claims): string
  verify (token: string): Promise<unknown>
}

export const REQUIRED_CLAIMS = ['iss', 'aud', 'sub', 'exp', 'iat', 'jti', 'client_id', 'gid', 'tv'] as const

/** Accepted difference between the clocks of replicas, in milliseconds. */
export const CLOCK_TOLERANCE = 30_000

/** The verified payload as claims; undefined when a member is missing or has the wrong type. */
export function readClaims (payload: unknown): Claims | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined
  const { iss, aud, sub, exp, iat, jti, client_id: clientId, scope, gid, tv } = payload as Record<string, unknown>
  if (!isText(iss) || !isText(aud) || !isText(sub) || !isText(jti) || !isText(clientId) || !isText(gid)) return undefined
  if (!isNumber(exp) || !isNumber(iat) || !isNumber(tv) || !UUID.test(sub)) return undefined
  return { iss, aud, sub, exp, iat, jti, client_id: clientId, scope: isText(scope) ? scope : '', gid, tv }
}

/** The key id a token names, without trusting anything else in it; undefined when it isn't a JWT. */
export function keyIdOf (token: string): string | undefined {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString())
    const kid = typeof header === 'object' && header !== null && 'kid' in header ? header.kid : undefined
    return isText(kid) && kid.length <= 100 ? kid : undefined
  } catch {
    return undefined
  }
}

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

function isText (value: unknown): value is string {
  return typeof value === 'string' && value.length > 0
}

function isNumber (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
