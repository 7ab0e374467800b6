import type { KoaContextWithOIDC } from 'oidc-provider'

import type { Audit } from '../../src/identity/audit.ts'

/** Puts the end of a grant on the record: revoked by its client, or because a code or refresh token came twice. */
export function noteEnd (audit: Audit, ctx: KoaContextWithOIDC, grantId: string): void {
  const { client, entities, route } = ctx.oidc
  const wasRevoked = route === 'revocation'
  const account = entities.Account?.accountId ?? entities.RefreshToken?.accountId ?? entities.AuthorizationCode?.accountId
  audit({
    kind: 'token',
    ...(account !== undefined && { principal: { id: account, name: account } }),
    source: ctx.ip,
    outcome: wasRevoked ? 'ok' : 'reused',
    ...(!wasRevoked && { code: 'PORTCULLIS_INVALID_TOKEN' }),
    detail: { action: wasRevoked ? 'revoke' : 'replay', grant: grantId, ...(client !== undefined && { client: client.clientId }) },
  })
}
