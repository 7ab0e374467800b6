import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

import type { Database } from '../db/connect.ts'
import type { Config } from '../src/config/config.ts'
import { openSecrets } from '../src/config/secrets.ts'
import type { Audit } from '../src/identity/audit.ts'
import { CLOCK_TOLERANCE, REQUIRED_CLAIMS } from '../src/identity/claims.ts'
import type { TokenFormat } from '../src/identity/claims.ts'
import { openIdentity } from '../src/identity/identity.ts'
import type { Identity } from '../src/identity/identity.ts'
import type { SigningKeys } from '../src/identity/signing-keys.ts'
import type { IdentityTally } from '../src/identity/tally.ts'

declare module 'fastify' {
  interface FastifyInstance {
    identity: Identity
  }
}

export interface IdentityPluginOptions {
  readonly database: Database
  readonly config: Pick<Config, 'data' | 'identity'> & { readonly server: Pick<Config['server'], 'publicUrl'>, readonly audit: Pick<Config['audit'], 'maxOutage'> }
  readonly audit: Audit
  readonly tally?: IdentityTally
  /** The clock, in Unix milliseconds; Date.now unless a test says otherwise. */
  readonly now?: () => number
}

/** app.identity: users, tokens and keys, and the listener that hears when they change. Closed with the app. */
export const identity = fp(async (app: FastifyInstance, { database, config, audit, tally, now }: IdentityPluginOptions) => {
  const opened = await openIdentity({
    database,
    data: config.data,
    publicUrl: config.server.publicUrl,
    outside: config.identity,
    secret: openSecrets(config.data),
    maxStale: config.audit.maxOutage,
    audit,
    log: app.log,
    ...(tally !== undefined && { tally }),
    ...(now !== undefined && { now }),
    openFormat: async (keys) => await openFormat(app, config.server.publicUrl, keys),
  })
  app.decorate('identity', opened)
  app.addHook('onClose', async () => await opened.close())
}, { name: 'identity', fastify: '5.x' })

/** Access tokens through @fastify/jwt. Keys go in as PEM strings and options at registration: only then does it keep its verifiers. */
async function openFormat (app: FastifyInstance, publicUrl: string, keys: SigningKeys): Promise<TokenFormat> {
  await app.register(fastifyJwt, {
    decode: { complete: true },
    secret: { private: keys.active().privateKey, public: publicKeys(keys) },
    sign: { algorithm: 'ES256' },
    verify: {
      algorithms: ['ES256'],
      allowedIss: publicUrl,
      // The audience is one of many, and is read where the claims are: src/identity/authenticate.ts.
      requiredClaims: [...REQUIRED_CLAIMS],
      checkTyp: 'at+jwt',
      clockTolerance: CLOCK_TOLERANCE,
      cache: 5000,
      cacheTTL: 60_000,
      // Counted from the end of the tolerance: only a negative one keeps a refusal from being remembered.
      errorCacheTTL: () => -CLOCK_TOLERANCE - 1,
    },
    // request.jwtVerify() of any route sees the deny-list too.
    trusted: async (request: FastifyRequest) => await Promise.resolve(app.identity.authenticate(request.headers.authorization)).then(() => true, () => false),
  })
  return {
    sign (claims) {
      const { kid, privateKey } = keys.active()
      return app.jwt.sign({ ...claims }, { key: privateKey, algorithm: 'ES256', kid, header: { alg: 'ES256', typ: 'at+jwt' } })
    },
    verify: async (token) => await app.jwt.verify(token),
  }
}

type Found = (error: Error | null, key: string | undefined) => void

/** request.jwtVerify() asks with (request, token, found), app.jwt.verify() with (token, found). */
function publicKeys (keys: SigningKeys): (...asked: unknown[]) => void {
  return (...asked) => {
    const found = asked.at(-1) as Found
    const token = asked.at(-2) as { header?: { kid?: unknown } } | undefined
    const kid = token?.header?.kid
    const key = typeof kid === 'string' ? keys.publicKey(kid) : undefined
    if (key === undefined) found(Object.assign(new Error('unknown key id'), { statusCode: 401 }), undefined)
    else found(null, key)
  }
}
