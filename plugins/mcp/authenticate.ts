import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import type { Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Identity } from '../../src/identity/identity.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by authentication, before the body is read; reading it without is an error. */
    principal: Principal
  }
}

/**
 * authenticate: a bearer token → the principal. Comes before the method, Accept and the body are looked at: a client
 * that gets anything but 401 first never offers its user to log in.
 */
export function authenticate (identity: Pick<Identity, 'authenticate'>): onRequestHookHandler {
  return (request, _reply, done) => {
    if (hasTokenInQuery(request.query)) throw new Refusal('PORTCULLIS_UNAUTHENTICATED', { message: 'A token in the URL is not accepted, since URLs end up in logs: send "Authorization: Bearer <token>".' })
    const found = identity.authenticate(request.headers.authorization)
    if (!(found instanceof Promise)) {
      request.principal = forEndpoint(found, request)
      done()
      return
    }
    found.then((principal) => {
      request.principal = forEndpoint(principal, request)
    }).then(() => done(), done)
  }
}

/** A token for one endpoint is good there and nowhere else (RFC 8707). */
function forEndpoint (principal: Principal, request: FastifyRequest): Principal {
  if (principal.upstream === undefined || principal.upstream === (request.params as { upstream?: string }).upstream) return principal
  throw new Refusal('PORTCULLIS_INVALID_TOKEN', { message: 'This access token is for another endpoint of this gateway. Log in again for this one.' })
}

function hasTokenInQuery (query: unknown): boolean {
  return typeof query === 'object' && query !== null && ('access_token' in query || 'token' in query)
}
