/** Where the authorization server answers. */
export const ROUTES = {
  authorization: '/oauth/authorize',
  token: '/oauth/token',
  revocation: '/oauth/revoke',
  registration: '/oauth/register',
  jwks: '/oauth/jwks',
  device_authorization: '/oauth/device_authorization',
  code_verification: '/oauth/device',
} as const

/** What stands for the grant in a token that a program got for itself: all of them share it. */
export const NO_GRANT = 'client:'

/** The cookie of whoever stays logged in on the login page. A name with __Host- is refused by browsers without TLS, and over TLS keeps other hosts from setting it. */
export function loginCookie (publicUrl: string): string {
  return publicUrl.startsWith('https:') ? '__Host-portcullis' : 'portcullis'
}

const MINUTE = 60
const DAY = 86_400

/** How long things live, in seconds. Access tokens outlive the five minutes before expiry at which clients begin to refresh. */
export const LIFE = { access: 15 * MINUTE, code: MINUTE, interaction: 10 * MINUTE, session: 8 * 60 * MINUTE, refresh: 30 * DAY, grant: 90 * DAY } as const
