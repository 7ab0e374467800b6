import { Ajv } from 'ajv'
import type { FastifyInstance, FastifyRequest } from 'fastify'

import { refuseEncoded } from '../../src/content-coding.ts'
import { Refusal } from '../../src/errors.ts'
import type { Administration } from '../../src/identity/administration.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { administrator } from './administrator.ts'
import { clients } from './clients.ts'
import { keys } from './keys.ts'
import { tokens } from './tokens.ts'
import { users } from './users.ts'

export interface AdminOptions {
  readonly identity: Pick<Identity, 'authenticate'>
  readonly administration: Administration
}

const MOST_BYTES = 16 * 1024

/** Requests of one administrator, a minute. */
const PER_MINUTE = 120

/** The /admin/api scope: users, tokens, clients and keys, for administrators. JSON only; nothing is cached; each change is on the record. */
export async function admin (app: FastifyInstance, { identity, administration }: AdminOptions): Promise<void> {
  if (!app.hasDecorator('rateLimit')) throw new Error('register @fastify/rate-limit (global: false) before the /admin/api scope')
  app.removeContentTypeParser('text/plain')
  // Members that are not known are an error, as in /auth: Fastify's own compiler drops them silently.
  const ajv = new Ajv({ allowUnionTypes: true, coerceTypes: false })
  const query = new Ajv({ coerceTypes: true })
  app.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'querystring' ? query : ajv).compile(schema as object))
  app.addHook('onRoute', (route) => { route.bodyLimit ??= MOST_BYTES })
  app.addHook('onRequest', (_request, reply, next) => {
    reply.raw.setHeader('cache-control', 'no-store')
    next()
  })
  const admit = administrator(identity)
  app.addHook('preParsing', admit)
  app.addHook('preParsing', ({ headers }, _reply, _payload, next) => {
    refuseEncoded(headers['content-encoding'])
    next()
  })
  app.addHook('preHandler', admit)
  const counted = app.createRateLimit({ max: PER_MINUTE, timeWindow: 60_000, keyGenerator: ({ administrator: { id } }: FastifyRequest) => `admin ${id}` })
  app.addHook('preHandler', async (request) => {
    const count = await counted(request)
    if (!count.isAllowed && count.isExceeded) throw tooMany(count.ttl)
  })
  users(app, administration)
  tokens(app, administration)
  clients(app, administration)
  keys(app, administration)
  app.all('/admin/api/*', () => { throw new Refusal('PORTCULLIS_NOT_FOUND', { message: ADDRESSES }) })
  await Promise.resolve()
}

function tooMany (wait: number): Refusal {
  const seconds = Math.max(1, Math.ceil(wait / 1000))
  return new Refusal('PORTCULLIS_TOO_MANY_REQUESTS', { message: `An administrator may send ${PER_MINUTE} requests a minute. Try again in ${seconds} seconds.`, headers: { 'retry-after': String(seconds) } })
}

const ADDRESSES = 'There is nothing at this address. Below /admin/api there are users, tokens, clients and keys; see the documentation of the admin API.'
