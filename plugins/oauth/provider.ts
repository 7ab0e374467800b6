import { timingSafeEqual } from 'node:crypto'

import type { AccessToken, ClientCredentials, Configuration, KoaContextWithOIDC, UnknownObject } from 'oidc-provider'

import type { Database } from '../../db/connect.ts'
import { tokenVersionUnder } from '../../db/oauth-artifacts.ts'
import { findClient } from '../../db/oauth-clients.ts'
import { findById } from '../../db/users.ts'
import type { OAuthSpec } from '../../src/config/config.ts'
import { readAudience } from '../../src/identity/audience.ts'
import type { Audit } from '../../src/identity/audit.ts'
import { SCOPE } from '../../src/identity/challenge.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { reach } from '../../src/identity/store.ts'
import { clientChanges, clientFault } from '../../src/oauth/client-rules.ts'
import { adapters, GRANT, hashSecret } from './adapter.ts'
import { devicePages } from './device.ts'
import { clientDocuments } from './documents.ts'
import { LIFE, loginCookie, NO_GRANT, ROUTES } from './facts.ts'
import { errors, interactionPolicy, Provider } from './library.ts'
import type { Pages } from './pages.ts'

export interface ProviderOptions {
  readonly identity: Pick<Identity, 'signingJwk' | 'endGrant' | 'deriveKey'>
  readonly db: Database['db']
  readonly publicUrl: string
  readonly audit: Audit
  readonly pages: Pages
  readonly vouched: string
  readonly spec: OAuthSpec
}

/** The authorization server, with the key that signs now. */
export function openProvider (options: ProviderOptions): Provider {
  const provider = new Provider(options.publicUrl, configuration(options))
  // Decided by plugins/oauth/mount.ts, which overwrites what a client says about itself.
  provider.proxy = true
  // oidc-provider compares secrets in clear; ours are stored hashed.
  const prototype = (provider.Client as unknown as { prototype: { compareClientSecret (secret: string): boolean } }).prototype
  prototype.compareClientSecret = function (this: { clientSecret?: string }, secret) {
    const [mine, theirs] = [Buffer.from(this.clientSecret ?? ''), Buffer.from(hashSecret(secret))]
    return mine.length === theirs.length && timingSafeEqual(mine, theirs)
  }
  return provider
}

function configuration ({ identity, db, publicUrl, audit, pages, vouched, spec }: ProviderOptions): Configuration {
  const documents = clientDocuments(spec)
  const secure = publicUrl.startsWith('https:')
  const cookie = { httpOnly: true, sameSite: 'lax', secure, signed: true, overwrite: true } as const
  return {
    ...(documents.fetch !== undefined && { fetch: documents.fetch }),
    adapter: adapters({ db, identity, audit, vouched }),
    jwks: { keys: [{ ...identity.signingJwk() }] },
    routes: { ...ROUTES },
    cookies: {
      keys: [identity.deriveKey('oauth cookies').toString('base64url')],
      names: { session: loginCookie(publicUrl), interaction: 'portcullis_interaction', resume: 'portcullis_resume' },
      long: cookie,
      short: cookie,
    },
    scopes: ['openid', 'offline_access'],
    responseTypes: ['code'],
    pkce: { required: () => true },
    allowOmittingSingleRegisteredRedirectUri: false,
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: ['ES256', 'EdDSA', 'RS256', 'PS256'], idTokenSigningAlgValues: ['ES256'] },
    clientDefaults: { token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token'], id_token_signed_response_alg: 'ES256' },
    clientBasedCORS: () => true, // foreign origins were refused before
    rotateRefreshToken: true,
    issueRefreshToken: async (_ctx, client) => await Promise.resolve(client.grantTypeAllowed('refresh_token')),
    expiresWithSession: async () => await Promise.resolve(false),
    findAccount: async (_ctx, id) => {
      const user = await reach(async () => await findById(db, id))
      if (user === undefined || user.disabled) return undefined
      return { accountId: id, claims: async () => await Promise.resolve({ sub: id, preferred_username: user.username }) }
    },
    extraTokenClaims: async (_ctx, token) => {
      const { owner, grant } = await ownerOf(db, token)
      const tv = owner === undefined ? undefined : await reach(async () => await tokenVersionUnder(db, owner, grant === undefined ? undefined : { kind: GRANT, id: grant }))
      if (tv === undefined) throw new errors.InvalidGrant('the login has ended')
      return { gid: grant ?? NO_GRANT + String(token.clientId), tv }
    },
    formats: {
      customizers: {
        // A program that acts by itself is its service user.
        async jwt (_ctx, token, { payload }) {
          if (token.kind !== 'ClientCredentials') return
          payload['sub'] = (await ownerOf(db, token)).owner
          // Who names no scope means the only one there is.
          payload['scope'] = token.scope ??= SCOPE
        },
      },
    },
    extraClientMetadata: { properties: ['portcullis_vouched'], validator: (_ctx, _key, _value, metadata) => { admit(metadata, vouched) } },
    interactions: { policy: prompts(), url: async (_ctx, interaction) => await Promise.resolve(`/interaction/${interaction.uid}`) },
    renderError: (ctx, out, error) => {
      ctx.type = 'html'
      ctx.body = pages.message({ title: 'This does not work', text: failure(error), hint: 'Go back to your app and connect again.', detail: out.error_description ?? out.error })
    },
    ttl: {
      AccessToken: LIFE.access,
      ClientCredentials: LIFE.access,
      AuthorizationCode: LIFE.code,
      DeviceCode: LIFE.interaction,
      Interaction: LIFE.interaction,
      Session: LIFE.session,
      Grant: LIFE.grant,
      IdToken: LIFE.access,
      RefreshToken: (_ctx, token) => Math.max(1, Math.min(LIFE.refresh, (token.iiat ?? now()) + LIFE.grant - now())),
    },
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      introspection: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true, allowedPolicy: async (_ctx, client, token) => await Promise.resolve(token.clientId === client.clientId) },
      clientIdMetadataDocument: documents.feature,
      registration: { enabled: spec.registration, issueRegistrationAccessToken: false },
      deviceFlow: { enabled: true, charset: 'base-20', mask: '****-****', ...devicePages(pages) },
      resourceIndicators: {
        enabled: true,
        defaultResource: async () => await Promise.resolve(`${publicUrl}/mcp`),
        useGrantedResource: async () => await Promise.resolve(true),
        getResourceServerInfo: async (_ctx, resource) => {
          if (readAudience(publicUrl, resource) === undefined) throw new errors.InvalidTarget(`the resource must be ${publicUrl}/mcp, or that with the name of an upstream behind it`)
          return await Promise.resolve({ scope: SCOPE, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: LIFE.access, jwt: { sign: { alg: 'ES256' } } })
        },
      },
    },
  }
}

/** Whose rights a token carries, and under which grant; a program's own token has none. */
async function ownerOf (db: Database['db'], token: AccessToken | ClientCredentials): Promise<{ owner: string | undefined, grant: string | undefined }> {
  if ('accountId' in token) return { owner: token.accountId, grant: token.grantId }
  const client = await reach(async () => await findClient(db, String(token.clientId)))
  return { owner: client?.userId ?? undefined, grant: undefined }
}

/** For the person, who can do nothing about what an app did wrong; that is told to its maker, below. */
function failure (error: Error): string {
  if (error instanceof errors.SessionNotFound) return 'This login has expired, or belongs to another browser.'
  const isOurs = !(error instanceof errors.OIDCProviderError) || error.statusCode >= 500
  return isOurs ? 'Something is broken here.' : 'Your app sent you here with a request that cannot be followed. Nothing was given to it.'
}

function now (): number {
  return Math.floor(Date.now() / 1000)
}

/** The rules for clients that nobody vouches for; runs before oidc-provider's own, at registration and at each use. */
function admit (metadata: UnknownObject, vouched: string): void {
  if (metadata['portcullis_vouched'] === vouched) return
  delete metadata['portcullis_vouched']
  const fault = clientFault(metadata)
  if (fault !== undefined) throw fault.member === 'redirect_uris' ? new errors.CustomOIDCProviderError('invalid_redirect_uri', fault.message) : new errors.InvalidClientMetadata(fault.message)
  for (const [member, value] of Object.entries(clientChanges(metadata))) {
    if (value === undefined) delete metadata[member]
    else metadata[member] = value
  }
}

/** Consent is asked for every time: whoever can register a client could else use the consent of an earlier one. */
function prompts (): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base()
  policy.get('consent')?.checks.add(new interactionPolicy.Check('client_unproven', 'the person has to consent', 'interaction_required', (ctx: KoaContextWithOIDC) => {
    return ctx.oidc.result?.['consent'] === undefined ? interactionPolicy.Check.REQUEST_PROMPT : interactionPolicy.Check.NO_NEED_TO_PROMPT
  }))
  return policy
}
