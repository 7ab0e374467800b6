import type Provider from 'oidc-provider'

import type { Audit } from '../../src/identity/audit.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { reach } from '../../src/identity/store.ts'
import { NO_GRANT } from './facts.ts'

/**
 * Lets /oauth/revoke take access tokens too (RFC 7009): oidc-provider refuses what it has not stored, and clients send
 * them when a person logs out. Whoever holds a token may end the grant it came of; a program that acts by itself has none,
 * and ends that one token.
 */
export function revokeAccessTokens (provider: Provider, identity: Pick<Identity, 'claims' | 'endGrant'>, audit: Audit): void {
  provider.use(async (ctx, next) => {
    await next()
    if (ctx.oidc?.route !== 'revocation' || ctx.status !== 400) return
    const { client, params } = ctx.oidc
    const claims = await identity.claims(String(params?.['token'] ?? '')).catch(() => undefined)
    if (claims === undefined || claims.client_id !== client?.clientId) return
    const ended = claims.gid.startsWith(NO_GRANT) ? claims.jti : claims.gid
    audit({ kind: 'token', principal: { id: claims.sub, name: claims.sub }, source: ctx.ip, outcome: 'ok', detail: { action: 'revoke', grant: ended, client: claims.client_id } })
    await reach(async () => await identity.endGrant(ended, claims.sub))
    ctx.status = 200
    ctx.body = ''
  })
}
