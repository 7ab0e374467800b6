import type Provider from 'oidc-provider'

import type { Log } from '../../src/log.ts'
import { ROUTES } from './facts.ts'
import type { Pages } from './pages.ts'

/**
 * What fails outside of oidc-provider's own handling: without this, a line of plain text for the person, and a stack on the
 * console that no log has. One case is known: the way back to the device pages, without the cookie of having set out.
 */
export function showFailures (provider: Provider, { pages, log }: { readonly pages: Pages, readonly log: Pick<Log, 'error'> }): void {
  provider.use(async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      if (ctx.path.startsWith(`${ROUTES.code_verification}/`)) return ctx.redirect(ROUTES.code_verification)
      log.error({ err: error }, 'the authorization server failed')
      ctx.status = 500
      ctx.type = 'html'
      ctx.body = pages.message({ title: 'This does not work', text: 'Something is broken here. Try again shortly; if it stays so, tell the administrator.' })
    }
  })
}
