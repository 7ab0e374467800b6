import type { onRequestHookHandler } from 'fastify'
import type { Config } from '../../src/config/config.ts'
import { Refusal } from '../../src/errors.ts'

const loopback = ['localhost', '127.0.0.1', '[::1]']

/**
 * origin: Host and Origin against allow-lists, before anything else. A page in a browser can make its own domain
 * resolve to this machine (DNS rebinding); the names it uses give it away.
 */
export function origin (config: Config): onRequestHookHandler {
  const hosts = new Set([hostOf(new URL(config.server.publicUrl).host), ...loopback, ...config.server.hosts.map(hostOf)])
  const origins = new Set([config.server.publicUrl, ...config.server.origins].map((given) => given.toLowerCase()))
  let known: string | undefined // the last good one: nearly every request repeats it
  return (request, reply, done) => {
    const host = request.headers.host
    if (host === undefined || (host !== known && !hosts.has(hostOf(host)))) throw new Refusal('PORTCULLIS_BAD_HOST', { message: `Host ${JSON.stringify((host ?? '').slice(0, 80))} is not served here. Add it to server.hosts in upstreams.yaml, or set PUBLIC_URL.` })
    known = host
    const from = request.headers.origin
    if (from !== undefined) {
      if (!origins.has(from.toLowerCase())) throw new Refusal('PORTCULLIS_BAD_ORIGIN', { message: `Origin ${JSON.stringify(from.slice(0, 80))} may not call this gateway. Add it to server.origins in upstreams.yaml.` })
      reply.raw.setHeader('access-control-allow-origin', from)
      reply.raw.setHeader('vary', 'origin')
      reply.raw.setHeader('access-control-expose-headers', 'mcp-session-id, www-authenticate, ratelimit-limit, ratelimit-remaining, ratelimit-reset')
    }
    done()
  }
}

/** Host without its port, in lower case; IPv6 literals keep their brackets. */
function hostOf (host: string): string {
  return host.toLowerCase().replace(/:\d+$/, '')
}
