import type { FastifyInstance } from 'fastify'

import type { Administration } from '../../src/identity/administration.ts'
import { by } from './administrator.ts'
import { LISTING, onWire, pageOf } from './listing.ts'
import type { Listing } from './listing.ts'

interface NewToken { readonly user: string, readonly name: string, readonly scopes?: string[] | null, readonly days?: number }

/** Personal access tokens of everybody. */
export function tokens (app: FastifyInstance, administration: Administration): void {
  app.get<{ Querystring: Listing }>('/admin/api/tokens', { schema: { querystring: LISTING } }, async (request) => {
    return onWire('tokens', await administration.listTokens(request.query.user, pageOf(request.query)))
  })

  app.post<{ Body: NewToken }>('/admin/api/tokens', { schema: { body: NEW_TOKEN } }, async (request, reply) => {
    return await reply.code(201).send(await administration.createToken(request.body, by(request)))
  })

  app.delete<{ Params: { id: string } }>('/admin/api/tokens/:id', async (request, reply) => {
    await administration.revokeToken(request.params.id, by(request))
    return await reply.code(204).send()
  })
}

const NEW_TOKEN = {
  type: 'object',
  properties: {
    user: { type: 'string', minLength: 1, maxLength: 256 },
    name: { type: 'string', minLength: 1, maxLength: 64 },
    scopes: { type: ['array', 'null'], items: { type: 'string', maxLength: 264 }, maxItems: 50 },
    days: { type: 'integer', minimum: 1, maximum: 365 },
  },
  required: ['user', 'name'],
  additionalProperties: false,
}
