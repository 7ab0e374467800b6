import type { FastifyInstance } from 'fastify'

import { Refusal } from '../../src/errors.ts'
import type { Federation } from '../../src/identity/federation.ts'
import type { ProviderButton } from './pages.ts'
import { queryOf } from './query.ts'

/**
 * Where a provider sends people back to: one address for each, known to the provider. The page that waits for the answer
 * is elsewhere, since the cookie that proves which browser this is goes there alone.
 */
export function federated (app: FastifyInstance, federation: Federation): void {
  app.get<{ Params: { provider: string } }>('/login/:provider/callback', { exposeHeadRoute: false }, async (request, reply) => {
    const answer = queryOf(request)
    const page = await federation.waitingFor(request.params.provider, answer)
    if (page === undefined) throw new Refusal('PORTCULLIS_LOGIN_REFUSED', { message: 'This login has expired or was used before. Go back to where you came from and begin again.' })
    return await reply.redirect(`${page}?${answer.toString()}`, 303)
  })
}

/** A button for each provider; `action` is where their forms go. */
export function buttons (federation: Federation, action: string): ProviderButton[] {
  return federation.providers.map(({ name, title }) => ({ title, action: `${action}/${name}` }))
}
