import { Ajv } from 'ajv'
import type { FastifyInstance, preParsingHookHandler } from 'fastify'

import { refuseEncoded } from '../../src/content-coding.ts'
import { Refusal } from '../../src/errors.ts'
import type { Audit } from '../../src/identity/audit.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { sendError } from './errors.ts'
import { grants } from './grants.ts'
import { login } from './login.ts'
import { tokens } from './tokens.ts'

export interface AuthOptions {
  readonly identity: Identity
  readonly config: { readonly server: { readonly publicUrl: string } }
  readonly audit: Audit
}

const MOST_BYTES = 16 * 1024

/** The /auth scope: log in, refresh, log out, and manage one's own credentials. JSON only, small bodies, nothing cached. */
export async function auth (app: FastifyInstance, options: AuthOptions): Promise<void> {
  // Without the limiter, guessing would be held up by the back-off per name alone.
  if (!app.hasDecorator('rateLimit')) throw new Error('register @fastify/rate-limit (global: false) before the /auth scope')
  app.setErrorHandler(sendError(options.config.server.publicUrl))
  app.removeContentTypeParser('text/plain')
  app.addHook('onRoute', (route) => {
    route.bodyLimit ??= MOST_BYTES
    route.preParsing = [route.preParsing ?? [], uncompressed].flat() // behind the hook that lets the caller in
  })
  app.addHook('onRequest', (_request, reply, next) => {
    reply.raw.setHeader('cache-control', 'no-store')
    next()
  })
  // Fastify's own compiler coerces types and drops unknown members silently; credentials are taken as they are or not at all.
  const ajv = new Ajv({ allowUnionTypes: true })
  app.setValidatorCompiler(({ schema }) => ajv.compile(schema as object))
  login(app, options)
  tokens(app, options)
  grants(app, options)
  app.all('/auth/*', () => { throw new Refusal('PORTCULLIS_NOT_FOUND', { message: ADDRESSES }) })
}

const uncompressed: preParsingHookHandler = ({ headers }, _reply, _payload, next) => {
  refuseEncoded(headers['content-encoding'])
  next()
}

const ADDRESSES = 'There is nothing at this address. There are POST /auth/login, /auth/refresh, /auth/logout, /auth/password, GET and POST /auth/tokens, DELETE /auth/tokens/<id>, GET /auth/grants, and DELETE /auth/grants/<id>.'
