import type { preHandlerAsyncHookHandler } from 'fastify'
import { Refusal } from '../src/errors.ts'
import type { Identity } from '../src/identity/identity.ts'

/** Lets pass whoever has the role `admin` and whose token carries the user's full rights. */
export function adminOnly (identity: Pick<Identity, 'authenticate'>): preHandlerAsyncHookHandler {
  return async (request) => {
    const principal = await identity.authenticate(request.headers.authorization)
    if (!principal.roles.includes('admin') || principal.scopes !== null) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'This is for administrators.' })
  }
}
