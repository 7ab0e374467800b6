import type { FastifyInstance } from 'fastify'

import type { OpenGrant } from '../../src/identity/grants.ts'
import { signedIn } from './caller.ts'
import type { AuthOptions } from './index.ts'

/** What the caller has let in: programs and logins, to be seen and ended. */
export function grants (app: FastifyInstance, { identity }: AuthOptions): void {
  const own = signedIn(identity)

  app.get('/auth/grants', own, async (request) => {
    return { grants: (await identity.listGrants(request.caller.id)).map(onWire) }
  })

  app.delete<{ Params: { id: string } }>('/auth/grants/:id', own, async (request, reply) => {
    await identity.revokeGrant(request.caller, request.params.id, request.ip)
    return await reply.code(204).send()
  })
}

function onWire (grant: OpenGrant): object {
  return { id: grant.id, client_id: grant.clientId, name: grant.name, host: grant.host ?? null, verified: grant.isLogin || grant.host !== undefined, resources: grant.resources, started_at: grant.startedAt, last_used_at: grant.lastUsedAt, expires_at: grant.expiresAt }
}
