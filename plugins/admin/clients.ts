import type { FastifyInstance } from 'fastify'

import type { Administration } from '../../src/identity/administration.ts'
import { by } from './administrator.ts'
import { LISTING, onWire, pageOf } from './listing.ts'
import type { Listing } from './listing.ts'

/** Programs that registered themselves, and those that act by themselves. */
export function clients (app: FastifyInstance, administration: Administration): void {
  app.get<{ Querystring: Listing }>('/admin/api/clients', { schema: { querystring: LISTING } }, async (request) => {
    return onWire('clients', await administration.listClients(pageOf(request.query)))
  })

  app.delete<{ Params: { id: string } }>('/admin/api/clients/:id', async (request, reply) => {
    await administration.revokeClient(request.params.id, by(request))
    return await reply.code(204).send()
  })
}
