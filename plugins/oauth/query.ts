import type { FastifyRequest } from 'fastify'

/** The query of a request: everything behind the first `?`, since a query may hold more of them (RFC 3986 section 3.4). */
export function queryOf ({ raw: { url = '' } }: Pick<FastifyRequest, 'raw'>): URLSearchParams {
  return new URLSearchParams(url.slice(pathOf(url).length + 1))
}

/** The address without its query. */
export function pathOf (url: string): string {
  return url.split('?', 1)[0] ?? ''
}
