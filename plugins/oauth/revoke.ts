import type Provider from 'oidc-provider'

import type { Identity } from '../../src/identity/identity.ts'
import { reach } from '../../src/identity/store.ts'

/**
 * Lets /oauth/revoke take access tokens too (RFC 7009): oidc-provider refuses what it has not stored, and clients send
 * them when a person logs out. Whoever holds a token may end the grant it came of.
 */
export function revokeAccessTokens (provider: Provider, identity: Pick<Identity, 'claims' | 'endGrant'>): void {
  provider.use(async (ctx, next) => {
    await next()
    if (ctx.oidc?.route !== 'revocation' || ctx.status !== 400) return
    const { client, params } = ctx.oidc
    const claims = await identity.claims(String(params?.['token'] ?? '')).catch(() => undefined)
    if (claims === undefined || claims.client_id !== client?.clientId) return
    await reach(async () => await identity.endGrant(claims.gid, claims.sub))
    ctx.status = 200
    ctx.body = ''
  })
}
