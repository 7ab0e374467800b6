import { Refusal } from '../errors.ts'

/** Bytes; a longer Authorization header is refused unread. */
const LONGEST = 8192

/** Not a regular expression with two open ends: the header is the attacker's. */
const BEARER = /^bearer +([\w.~+/-]+=*)$/i

/** The token in an Authorization header. Refuses (401), with a sentence that says what the header should be; nothing of it is repeated. */
export function readBearer (authorization: string | undefined): string {
  if (authorization === undefined || authorization === '') throw new Refusal('PORTCULLIS_UNAUTHENTICATED')
  if (authorization.length > LONGEST) throw new Refusal('PORTCULLIS_INVALID_TOKEN', { message: `The Authorization header is longer than ${LONGEST} bytes.` })
  const token = BEARER.exec(authorization)?.[1]
  if (token === undefined) throw new Refusal('PORTCULLIS_UNAUTHENTICATED', { message: explain(authorization) })
  return token
}

/** Refuses (401) a request whose URL carries a token: URLs end up in logs, histories and referrers. */
export function refuseTokenInQuery (query: unknown): void {
  if (typeof query !== 'object' || query === null) return
  if (!IN_QUERY.some((name) => name in query)) return
  throw new Refusal('PORTCULLIS_UNAUTHENTICATED', { message: 'A token in the URL is not accepted, since URLs end up in logs. Send it as "Authorization: Bearer <token>", and replace this token.' })
}

const IN_QUERY = ['access_token', 'token', 'api_key', 'apikey']

function explain (authorization: string): string {
  const scheme = authorization.trimStart().split(' ', 1)[0]?.toLowerCase() ?? ''
  if (scheme === 'bearer') return 'The Authorization header holds no usable token after "Bearer": send "Authorization: Bearer <token>", one space, nothing after the token.'
  if (OTHER_SCHEMES.has(scheme)) return `The ${scheme} scheme is not accepted here: send "Authorization: Bearer <token>". Get a token with POST /auth/login or \`portcullis token create\`.`
  return 'The Authorization header must be "Bearer <token>": the word Bearer and one space are missing.'
}

/** Only these are named in an answer; anything else may be a token. */
const OTHER_SCHEMES = new Set(['basic', 'digest', 'negotiate', 'dpop', 'hoba', 'mutual', 'token', 'apikey'])
