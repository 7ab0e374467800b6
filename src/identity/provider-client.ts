import * as openid from 'openid-client'

import type { ProviderSpec } from '../config/identity-spec.ts'
import type { Facts } from './claim-mapping.ts'
import { claimOf } from './claim-mapping.ts'

/** What is kept between the way to the provider and the way back. */
export interface Proofs {
  readonly state: string
  readonly nonce: string
  /** Of PKCE. */
  readonly verifier: string
}

/** One provider, spoken to as an OpenID Connect client. */
export interface ProviderClient {
  /** Where the browser has to go. Rejects when the provider cannot be reached, or is not what the configuration says. */
  authorizationUrl (proofs: Proofs): Promise<string>
  /** What the provider says of the person, for the answer that their browser brought. Rejects when anything about it is wrong. */
  redeem (answer: URLSearchParams, proofs: Proofs): Promise<Facts>
}

/** Seconds that the provider may take for one answer, and milliseconds for which what it says of itself is believed. */
const PATIENCE = 5
const FRESH = 3_600_000

export interface ProviderClientOptions {
  readonly spec: ProviderSpec
  /** Where the provider sends people back to. */
  readonly callback: string
  /** Reads the client secret; undefined when there is none. */
  readonly secret: (name: string) => string | undefined
  readonly now: () => number
}

export function openProviderClient ({ spec, callback, secret, now }: ProviderClientOptions): ProviderClient {
  let found: { readonly config: Promise<openid.Configuration>, readonly until: number } | undefined

  /** Discovered once for all who come meanwhile, and again when it failed or is an hour old. */
  async function configuration (): Promise<openid.Configuration> {
    if (found === undefined || now() >= found.until) found = { config: discover(), until: now() + FRESH }
    const mine = found
    try {
      return await mine.config
    } catch (error) {
      if (found === mine) found = undefined
      throw error
    }
  }

  async function discover (): Promise<openid.Configuration> {
    const password = spec.secret === undefined ? undefined : secret(spec.secret)
    if (spec.secret !== undefined && password === undefined) throw new Error(`the secret "${spec.secret}" is not stored`)
    const isLocal = new URL(spec.issuer).protocol === 'http:'
    return await openid.discovery(new URL(spec.issuer), spec.clientId, undefined, authentication(password), {
      timeout: PATIENCE,
      // An ID token comes by a connection that names the provider; its signature is looked at all the same.
      execute: [openid.enableNonRepudiationChecks, ...(isLocal ? [openid.allowInsecureRequests] : [])],
    })
  }

  return {
    async authorizationUrl ({ state, nonce, verifier }) {
      const url = openid.buildAuthorizationUrl(await configuration(), {
        redirect_uri: callback,
        scope: spec.scopes.join(' '),
        response_type: 'code',
        response_mode: 'query',
        state,
        nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      })
      return url.href
    },
    async redeem (answer, { state, nonce, verifier }) {
      const config = await configuration()
      const tokens = await openid.authorizationCodeGrant(config, new URL(`${callback}?${answer.toString()}`), { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true })
      const claims = tokens.claims()
      if (claims === undefined) throw new Error('the answer holds no ID token')
      const facts: Facts = { ...claims }
      const isWhole = [spec.nameClaim, spec.groupsClaim].every((claim) => claimOf(facts, claim) !== undefined)
      if (isWhole || config.serverMetadata().userinfo_endpoint === undefined) return facts
      // Many providers keep what is not about the login itself for here. What the ID token says goes first.
      return { ...await openid.fetchUserInfo(config, tokens.access_token, claims.sub), ...facts }
    },
  }
}

/** As the provider takes it; what says nothing takes the secret in the header (OpenID Connect Discovery, section 3). */
function authentication (secret: string | undefined): openid.ClientAuth {
  if (secret === undefined) return openid.None()
  const [basic, post] = [openid.ClientSecretBasic(secret), openid.ClientSecretPost(secret)]
  return (server, client, body, headers) => {
    const methods = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
    const authenticate = methods.includes('client_secret_basic') ? basic : post
    authenticate(server, client, body, headers)
  }
}
