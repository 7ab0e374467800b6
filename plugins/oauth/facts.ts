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

const MINUTE = 60
const DAY = 86_400

/** How long things live, in seconds. Access tokens outlive the five minutes before expiry at which clients begin to refresh. */
export const LIFE = { access: 15 * MINUTE, code: MINUTE, interaction: 10 * MINUTE, session: 8 * 60 * MINUTE, refresh: 30 * DAY, grant: 90 * DAY } as const
