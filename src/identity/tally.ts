/** How a token came to be, as OAuth names the grant; `password` for POST /auth/login, `personal` for a personal access token. */
export type TokenGrant = 'password' | 'authorization_code' | 'refresh_token' | 'client_credentials' | 'device_code' | 'personal'

/** What is counted that no record tells. */
export interface IdentityTally {
  /** Somebody was turned away before anything was hashed. */
  login (result: 'busy'): void
  tokenIssued (grant: TokenGrant): void
}
