import type { FastifyRequest } from 'fastify'

import type { Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { refuseTokenInQuery } from '../../src/identity/bearer.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { CLIENT } from '../../src/identity/issue.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who manages their credentials; set by signedIn. */
    caller: Principal
  }
}

type Admit = (request: FastifyRequest) => Promise<void>

/**
 * The hooks of a route that let in who logged in with a password here. A personal access token or the token of another
 * client cannot make, see or revoke credentials: else a token with few rights could get itself one with all. Asked before
 * the body is read, and when it is there: it may come slowly, and the login may have ended meanwhile.
 */
export function signedIn (identity: Pick<Identity, 'authenticate'>): { readonly preParsing: Admit, readonly preHandler: Admit } {
  const admit = admitting(identity)
  return { preParsing: admit, preHandler: admit }
}

function admitting (identity: Pick<Identity, 'authenticate'>): Admit {
  return async (request) => {
    refuseTokenInQuery(request.query)
    const principal = await identity.authenticate(request.headers.authorization)
    if (principal.tokenKind !== 'access' || principal.clientId !== CLIENT) {
      throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'Credentials are managed with the access token of POST /auth/login, not with a personal access token.' })
    }
    request.caller = principal
  }
}
