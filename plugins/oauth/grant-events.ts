import type { KoaContextWithOIDC } from 'oidc-provider'

import type { Audit } from '../../src/identity/audit.ts'
import type { TokenGrant } from '../../src/identity/tally.ts'

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

/** The grant that a token was just given for. */
export function grantName (ctx: KoaContextWithOIDC): TokenGrant {
  const name = String(ctx.oidc.params?.['grant_type']).replace('urn:ietf:params:oauth:grant-type:', '')
  return GRANTS.find((known) => known === name) ?? 'authorization_code'
}

const GRANTS: readonly TokenGrant[] = ['authorization_code', 'refresh_token', 'client_credentials', 'device_code']
