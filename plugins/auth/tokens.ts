import type { FastifyInstance } from 'fastify'

import type { PersonalToken } from '../../src/identity/personal-tokens.ts'
import { signedIn } from './caller.ts'
import type { AuthOptions } from './index.ts'

interface NewToken { name: string, scopes?: string[] | null, days?: number }

/** The caller's own personal access tokens. */
export function tokens (app: FastifyInstance, { identity }: AuthOptions): void {
  const own = signedIn(identity)

  app.get('/auth/tokens', own, async (request) => {
    return { tokens: (await identity.listTokens(request.caller.id)).map(onWire) }
  })

  app.post<{ Body: NewToken }>('/auth/tokens', { ...own, schema: { body: NEW_TOKEN } }, async (request, reply) => {
    const { name, scopes, days } = request.body
    const created = await identity.createToken({ user: request.caller, name, scopes, days, source: request.ip })
    return await reply.code(201).send({ ...onWire(created), token: created.token })
  })

  app.delete<{ Params: { id: string } }>('/auth/tokens/:id', own, async (request, reply) => {
    await identity.revokeToken({ id: request.params.id, userId: request.caller.id, source: request.ip })
    return await reply.code(204).send()
  })
}

const NEW_TOKEN = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 64 },
    scopes: { type: ['array', 'null'], items: { type: 'string', maxLength: 264 }, maxItems: 50 },
    days: { type: 'integer', minimum: 1, maximum: 365 },
  },
  required: ['name'],
  additionalProperties: false,
}

function onWire (token: PersonalToken): object {
  return {
    id: token.id,
    name: token.name,
    prefix: token.prefix,
    scopes: token.scopes,
    created_at: token.createdAt,
    expires_at: token.expiresAt,
    last_used_at: token.lastUsedAt,
  }
}
