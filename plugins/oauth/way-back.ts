import type { FastifyInstance } from 'fastify'

/**
 * Leads a browser to the page when it opens the address that a form went to (the address bar shows it when a form was
 * refused), or that of the gateway alone. For a program there is nothing at these addresses.
 */
export function wayBack (app: FastifyInstance): void {
  for (const [address, page] of PAGES) {
    app.get<{ Params: { uid: string } }>(address, { exposeHeadRoute: false }, async (request, reply) => {
      void reply.header('vary', 'accept')
      if (request.headers.accept?.includes('text/html') !== true) return reply.callNotFound()
      return await reply.redirect(page(request.params.uid), 303)
    })
  }
}

/** Address → the page that leads on from there. */
const PAGES: readonly (readonly [address: string, page: (uid: string) => string])[] = [
  ['/', () => '/account'],
  ['/account/*', () => '/account'],
  ['/interaction/:uid/*', (uid) => `/interaction/${encodeURIComponent(uid)}`],
]
