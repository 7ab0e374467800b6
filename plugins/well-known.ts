import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'

import { METADATA_PATH, SCOPE } from '../src/identity/challenge.ts'
import type { Identity } from '../src/identity/identity.ts'

export interface WellKnownOptions {
  readonly identity: Pick<Identity, 'jwks'>
  readonly publicUrl: string
}

/**
 * What clients probe before they log in: the metadata of the protected resource (RFC 9728), the public keys, and quick
 * JSON answers where an authorization server would be. Every URL is built from ours, never from the request.
 */
export const wellKnown = fp((app: FastifyInstance, { identity, publicUrl }: WellKnownOptions, done: () => void) => {
  for (const path of ['', '/mcp', '/mcp/:upstream']) {
    app.get<{ Params: { upstream?: string } }>(METADATA_PATH + path, (request, reply) => {
      const { upstream } = request.params
      // Any possible name is answered, so that nobody learns here which upstreams exist.
      if (upstream !== undefined && !/^[a-z0-9][a-z0-9-]{0,31}$/.test(upstream)) return reply.code(404).headers(HEADERS).send(NOT_FOUND)
      return reply.headers(HEADERS).send(metadata(publicUrl, upstream))
    })
  }
  app.get('/oauth/jwks', (_request, reply) => reply.headers(HEADERS).send(identity.jwks()))

  for (const url of AUTHORIZATION_SERVER) app.get(url, (_request, reply) => reply.code(404).headers(HEADERS).send(absent('not_found', publicUrl)))
  // Answered before the body is looked at, so that no body can turn the sentence into another error.
  const refuse: onRequestAsyncHookHandler = async (_request, reply) => await reply.code(404).headers(HEADERS).send(absent('access_denied', publicUrl))
  for (const url of ['/register', '/oauth/register']) app.route({ method: ['GET', 'POST', 'PUT', 'DELETE'], url, onRequest: refuse, handler: async () => {} })
  done()
}, { name: 'well-known', fastify: '5.x' })

const HEADERS = { 'cache-control': 'public, max-age=60', 'access-control-allow-origin': '*', 'x-content-type-options': 'nosniff' }

/** Where the clients seen so far look for an authorization server. */
const AUTHORIZATION_SERVER = [
  '/.well-known/oauth-authorization-server', '/.well-known/oauth-authorization-server/*',
  '/.well-known/openid-configuration', '/.well-known/openid-configuration/*',
  '/mcp/.well-known/openid-configuration', '/mcp/.well-known/oauth-authorization-server',
  '/mcp/:upstream/.well-known/openid-configuration', '/mcp/:upstream/.well-known/oauth-authorization-server',
]

/** No `authorization_servers`: there is none, and RFC 9728 (section 3.2) leaves members without a value out. */
function metadata (publicUrl: string, upstream: string | undefined): object {
  return {
    resource: upstream === undefined ? `${publicUrl}/mcp` : `${publicUrl}/mcp/${upstream}`,
    resource_name: 'Portcullis',
    bearer_methods_supported: ['header'],
    scopes_supported: [SCOPE],
  }
}

const NOT_FOUND = { error: 'not_found', error_description: 'There is no such resource.' }

/** Some clients show this to their user as it is. */
function absent (error: string, publicUrl: string): object {
  return {
    error,
    error_description: `This gateway has no browser login for clients: configure a token instead. Create one with \`portcullis token create\` or POST ${publicUrl}/auth/tokens, and send it as the header "Authorization: Bearer <token>".`,
  }
}
