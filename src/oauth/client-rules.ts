import { isIP } from 'node:net'

/** Metadata of a client (RFC 7591), as it was sent. */
export type ClientMetadata = Readonly<Record<string, unknown>>

/** What is wrong, and in which member; `redirect_uris` has an error code of its own. */
export interface ClientFault { readonly member: string, readonly message: string }

/** Members to set, or to remove (undefined), before the metadata is used. */
export type ClientChanges = Readonly<Record<string, unknown>>

const MOST_REDIRECTS = 10
const LONGEST_NAME = 80

const GRANTS = ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code']
const AUTH_METHODS = ['none', 'client_secret_basic', 'client_secret_post']

/** Schemes that a browser or the system acts on by itself. */
const FORBIDDEN_SCHEMES = new Set([
  'javascript:', 'data:', 'file:', 'blob:', 'vbscript:', 'intent:', 'about:', 'filesystem:', 'view-source:', 'ws:', 'wss:', 'ftp:', 'mailto:', 'tel:', 'sms:', 'content:', 'chrome:', 'jar:', 'ms-msdt:', 'search-ms:',
])

/** Addresses that the server or the browser of the person who consents would fetch on the client's behalf. */
const FETCHED = ['jwks_uri', 'sector_identifier_uri', 'logo_uri', 'initiate_login_uri', 'backchannel_logout_uri', 'request_uris']

/** Why a client that nobody vouches for is not taken in; undefined when it is. */
export function clientFault (metadata: ClientMetadata): ClientFault | undefined {
  const redirects = metadata['redirect_uris'] ?? []
  if (!Array.isArray(redirects)) return { member: 'redirect_uris', message: 'redirect_uris must be a list of addresses' }
  if (redirects.length > MOST_REDIRECTS) return { member: 'redirect_uris', message: `redirect_uris may hold at most ${MOST_REDIRECTS} addresses` }
  for (const redirect of redirects as unknown[]) {
    const message = redirectFault(redirect)
    if (message !== undefined) return { member: 'redirect_uris', message }
  }
  const grant = listOf(metadata['grant_types']).find((name) => !GRANTS.includes(String(name)))
  if (grant !== undefined) return { member: 'grant_types', message: `grant_types may hold ${GRANTS.join(', ')}` }
  const method = metadata['token_endpoint_auth_method']
  if (method !== undefined && !AUTH_METHODS.includes(String(method))) return { member: 'token_endpoint_auth_method', message: `token_endpoint_auth_method must be one of ${AUTH_METHODS.join(', ')}` }
  const fetched = FETCHED.find((member) => metadata[member] !== undefined)
  return fetched === undefined || fetched === 'logo_uri' ? undefined : { member: fetched, message: `${fetched} is not accepted` }
}

/** What is mended silently, since real clients send it and mean no harm. */
export function clientChanges (metadata: ClientMetadata): ClientChanges {
  const redirects = listOf(metadata['redirect_uris']).filter((redirect) => typeof redirect === 'string')
  return {
    // RFC 8252 lets the port of a loopback address vary for native clients only, and clients forget to say that they are.
    ...(redirects.some(isNative) && { application_type: 'native' }),
    // SDKs repeat the scope of the resource here, which is none of the server's own.
    scope: undefined,
    logo_uri: undefined,
    ...(typeof metadata['client_name'] === 'string' && { client_name: cleanName(metadata['client_name']) }),
  }
}

/** A name that cannot pretend to be part of the page: no control signs, no direction marks, one line, at most 80 signs. */
export function cleanName (name: string): string {
  const clean = name.normalize('NFC').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, ' ').replace(/\s+/g, ' ').trim()
  return [...clean].slice(0, LONGEST_NAME).join('')
}

/** Whether the address is on the person's own computer: a loopback address, or a scheme that an app has registered. */
export function isNative (redirect: string): boolean {
  if (!URL.canParse(redirect)) return false
  const { protocol, hostname } = new URL(redirect)
  return protocol === 'http:' ? isLoopback(hostname) : protocol !== 'https:'
}

function redirectFault (redirect: unknown): string | undefined {
  if (typeof redirect !== 'string' || !URL.canParse(redirect)) return 'redirect_uris must hold absolute addresses'
  const { protocol, hostname, username, password, hash } = new URL(redirect)
  if (FORBIDDEN_SCHEMES.has(protocol)) return `redirect_uris may not use the scheme ${protocol}`
  if (protocol === 'http:' && !isLoopback(hostname)) return 'redirect_uris may use http on loopback addresses only: use https'
  if (username !== '' || password !== '') return 'redirect_uris may not hold a user name or password'
  return hash !== '' || redirect.includes('#') ? 'redirect_uris may not hold a fragment' : undefined
}

function isLoopback (hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'))
}

function listOf (value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
