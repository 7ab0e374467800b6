import type { preHandlerAsyncHookHandler } from 'fastify'
import { Refusal } from '../src/errors.ts'
import { CLIENT } from '../src/identity/issue.ts'
import type { Identity } from '../src/identity/identity.ts'

/** Lets pass whoever has the role `admin` and whose token carries the user's full rights. */
export function adminOnly (identity: Pick<Identity, 'authenticate'>): preHandlerAsyncHookHandler {
  return async (request) => {
    const principal = await identity.authenticate(request.headers.authorization)
    // The token of a program that the person let in is for calls, whoever the person is.
    if (!principal.roles.includes('admin') || principal.scopes !== null || principal.clientId !== CLIENT) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'This is for administrators.' })
  }
}
