import type { preParsingAsyncHookHandler } from 'fastify'

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

/**
 * Lets in who logged in with a password here, before the body is read. A personal access token or the token of another
 * client cannot make, see or revoke credentials: else a token with few rights could get itself one with all.
 */
export function signedIn (identity: Pick<Identity, 'authenticate'>): preParsingAsyncHookHandler {
  return async (request) => {
    refuseTokenInQuery(request.query)
    const principal = await identity.authenticate(request.headers.authorization)
    if (principal.tokenKind !== 'access' || principal.clientId !== CLIENT) {
      throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'Credentials are managed with the access token of POST /auth/login, not with a personal access token.' })
    }
    request.caller = principal
  }
}
