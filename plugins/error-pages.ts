import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Serves the page each refusal links to: /errors/CODE, public and static. */
export const errorPages = fp(async (app: FastifyInstance) => {
  const pages = readPages(readFileSync(documentation(), 'utf8'))
  app.get('/errors/:code', (request, reply) => {
    const { code } = request.params as { code: string }
    const page = pages.get(code)
    return page === undefined
      ? reply.code(404).type('text/plain; charset=utf-8').send(`There is no refusal with this code. Known codes:\n${[...pages.keys()].join('\n')}\n`)
      : reply.type('text/plain; charset=utf-8').header('cache-control', 'max-age=3600').send(page)
  })
}, { name: 'error-pages' })

/** Code → section of docs/errors.md. */
export function readPages (markdown: string): ReadonlyMap<string, string> {
  const sections = markdown.split(/^## /m).slice(1)
  return new Map(sections.map((section) => [section.slice(0, section.indexOf('\n')), `${section.trim()}\n`]))
}

/** docs/ stands beside plugins/ in the sources, and one level further up when built into dist/. */
function documentation (): URL {
  const built = import.meta.url.includes('/dist/plugins/')
  return new URL(built ? '../../docs/errors.md' : '../docs/errors.md', import.meta.url)
}
