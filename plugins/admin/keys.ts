import type { FastifyInstance } from 'fastify'

import type { Administration } from '../../src/identity/administration.ts'
import { by } from './administrator.ts'

/** The keys that access tokens are signed with. */
export function keys (app: FastifyInstance, administration: Administration): void {
  app.get('/admin/api/keys', async () => ({ keys: await administration.listKeys() }))

  app.post<{ Body: { now?: boolean } }>('/admin/api/keys/rotate', { schema: { body: ROTATE } }, async (request, reply) => {
    return await reply.code(201).send(await administration.rotateKey(request.body.now === true, by(request)))
  })
}

const ROTATE = { type: 'object', properties: { now: { type: 'boolean' } }, additionalProperties: false }
