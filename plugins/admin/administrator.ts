import type { FastifyRequest } from 'fastify'

import type { Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { refuseTokenInQuery } from '../../src/identity/bearer.ts'
import { ADMIN_SCOPE } from '../../src/identity/challenge.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { CLIENT } from '../../src/identity/issue.ts'
import type { By } from '../../src/identity/users.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who administers; set for every route below /admin/api. */
    administrator: Principal
  }
}

/**
 * Lets in who has the role `admin`: with the access token of their own login, or with a personal access token that was
 * made for this and says so. Any other token is in the hands of a program, and is for calls only. To be asked before the
 * body is read, and when it is there: it may come slowly, and rights may have ended meanwhile.
 */
export function administrator (identity: Pick<Identity, 'authenticate'>): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    refuseTokenInQuery(request.query)
    const principal = await identity.authenticate(request.headers.authorization)
    if (!principal.roles.includes('admin')) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'This is for administrators.' })
    if (!isForThis(principal)) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: `This token is for calls. Administer with the access token of POST /auth/login, or with a personal access token that has the scope ${ADMIN_SCOPE}.` })
    request.administrator = principal
  }
}

/** Who did it, for the record. */
export function by (request: FastifyRequest): Required<By> {
  const { id, name } = request.administrator
  return { principal: { id, name }, source: request.ip }
}

function isForThis ({ tokenKind, clientId, scopes }: Principal): boolean {
  return tokenKind === 'access' ? clientId === CLIENT && scopes === null : scopes?.includes(ADMIN_SCOPE) === true
}
