import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify'

import { Refusal } from '../../src/errors.ts'
import { signedIn } from './caller.ts'
import type { AuthOptions } from './index.ts'

/** Log in, stay logged in, log out, change one's password. */
export function login (app: FastifyInstance, options: AuthOptions): void {
  const { identity } = options

  app.post<{ Body: { username: string, password: string } }>('/auth/login', limited(options, 10, { username: NAME, password: SECRET }), async (request) => {
    const { username, password } = request.body
    return await identity.login(username, password, request.ip)
  })

  app.post<{ Body: { refresh_token: string } }>('/auth/refresh', limited(options, 60, { refresh_token: SECRET }), async (request) => {
    return await identity.refresh(request.body.refresh_token, request.ip)
  })

  app.post('/auth/logout', async (request, reply) => {
    await identity.logout(request.headers.authorization, request.ip)
    return await reply.code(204).send()
  })

  app.post<{ Body: { old: string, new: string } }>('/auth/password', { ...limited(options, 10, { old: SECRET, new: SECRET }), ...signedIn(identity) }, async (request) => {
    return await identity.changePassword(request.caller, request.body, request.ip)
  })
}

const NAME = { type: 'string', minLength: 1, maxLength: 256 }
const SECRET = { type: 'string', minLength: 1, maxLength: 1024 }

/** A route with exactly these members in its body, and a limit per minute and address. */
function limited ({ audit }: AuthOptions, max: number, properties: Record<string, object>): RouteShorthandOptions {
  return {
    schema: { body: { type: 'object', properties, required: Object.keys(properties), additionalProperties: false } },
    config: {
      rateLimit: {
        max,
        timeWindow: 60_000,
        errorResponseBuilder: (_request: FastifyRequest, { ttl }: { ttl: number }) => tooMany(max, ttl),
        onExceeded: (request: FastifyRequest) => { audit({ kind: 'login', source: request.ip, outcome: 'limited', code: 'PORTCULLIS_TOO_MANY_REQUESTS', detail: { path: request.routeOptions.url } }) },
      },
    },
  }
}

function tooMany (max: number, wait: number): Refusal {
  const seconds = Math.max(1, Math.ceil(wait / 1000))
  return new Refusal('PORTCULLIS_TOO_MANY_REQUESTS', {
    message: `Only ${max} of these requests a minute are accepted from one address. Try again in ${seconds} seconds.`,
    headers: { 'retry-after': String(seconds) },
  })
}
