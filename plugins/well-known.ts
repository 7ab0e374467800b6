import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

import { METADATA_PATH, SCOPE } from '../src/identity/challenge.ts'
import type { Identity } from '../src/identity/identity.ts'

export interface WellKnownOptions {
  readonly identity: Pick<Identity, 'jwks'>
  readonly publicUrl: string
}

/**
 * What clients probe before they log in: the metadata of the protected resource (RFC 9728), and the public keys. Every
 * URL is built from ours, never from the request.
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

  done()
}, { name: 'well-known', fastify: '5.x' })

const HEADERS = { 'cache-control': 'public, max-age=60', 'access-control-allow-origin': '*', 'x-content-type-options': 'nosniff' }

function metadata (publicUrl: string, upstream: string | undefined): object {
  return {
    resource: upstream === undefined ? `${publicUrl}/mcp` : `${publicUrl}/mcp/${upstream}`,
    resource_name: 'Portcullis',
    authorization_servers: [publicUrl],
    bearer_methods_supported: ['header'],
    scopes_supported: [SCOPE],
  }
}

const NOT_FOUND = { error: 'not_found', error_description: 'There is no such resource.' }
