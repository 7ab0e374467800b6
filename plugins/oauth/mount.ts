import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import type Provider from 'oidc-provider'

import { refuseEncoded } from '../../src/content-coding.ts'
import { Refusal } from '../../src/errors.ts'
import { SCOPE } from '../../src/identity/challenge.ts'
import { ROUTES } from './facts.ts'
import { pathOf, queryOf } from './query.ts'

export interface MountOptions {
  /** The provider of this moment. */
  readonly provider: () => Provider
  readonly publicUrl: string
  readonly registration: boolean
}

/** Bytes; oidc-provider would take 56 KiB. */
const MOST_BYTES = 16 * 1024

/** Each of these, a minute and address. */
const PER_MINUTE = 300
/** Registrations an hour: from one address, and altogether. */
const REGISTRATIONS = { one: 20, all: 500 }

/**
 * The routes that oidc-provider answers. They are Fastify's routes all the same, so that limits, headers and the Host check
 * apply; only then is the raw request handed over. The body stays unread until then.
 */
export async function mount (app: FastifyInstance, { provider, publicUrl, registration }: MountOptions): Promise<void> {
  app.removeAllContentTypeParsers()
  for (const type of ['*', 'application/json', 'application/x-www-form-urlencoded']) app.addContentTypeParser(type, (_request, _body, done) => done(null))
  app.addHook('onRequest', async (request) => {
    refuseEncoded(request.headers['content-encoding'])
    if (Number(request.headers['content-length'] ?? 0) > MOST_BYTES || (request.method === 'POST' && request.headers['transfer-encoding'] !== undefined)) throw new Refusal('PORTCULLIS_BODY_TOO_LARGE', { message: `The body must say its length and be at most ${MOST_BYTES} bytes.` })
    return await Promise.resolve()
  })

  const hand = (request: FastifyRequest, reply: FastifyReply): void => {
    for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value)
    // What a client says about its address and scheme is not believed.
    request.raw.headers['x-forwarded-proto'] = new URL(publicUrl).protocol.slice(0, -1)
    request.raw.headers['x-forwarded-host'] = request.raw.headers.host = new URL(publicUrl).host
    request.raw.headers['x-forwarded-for'] = request.ip
    reply.hijack()
    void provider().callback()(request.raw, reply.raw)
  }
  const limited = limit(PER_MINUTE, 60_000)
  app.get(ROUTES.authorization, { ...limited, exposeHeadRoute: false }, (request, reply) => {
    request.raw.url = withScope(request)
    hand(request, reply)
  })
  for (const url of [`${ROUTES.authorization}/:uid`, ROUTES.code_verification, `${ROUTES.code_verification}/:uid`]) app.get(url, { ...limited, exposeHeadRoute: false }, hand)
  for (const url of [ROUTES.token, ROUTES.device_authorization, ROUTES.code_verification]) app.post(url, limited, hand)
  app.post(ROUTES.revocation, limited, hand)
  for (const url of [ROUTES.token, ROUTES.revocation, ROUTES.device_authorization, ROUTES.registration]) app.options(url, preflight)
  discovery(app, hand)

  if (!registration) {
    app.post(ROUTES.registration, () => { throw new Refusal('PORTCULLIS_FORBIDDEN', { message: CLOSED }) })
    return
  }
  const all = app.createRateLimit({ max: REGISTRATIONS.all, timeWindow: 3_600_000, keyGenerator: () => 'registrations' })
  app.post(ROUTES.registration, {
    ...limit(REGISTRATIONS.one, 3_600_000),
    async preHandler (request) {
      const count = await all(request)
      if (!count.isAllowed && count.isExceeded) throw tooMany(count.ttl)
    },
  }, hand)
  await Promise.resolve()
}

const CLOSED = 'This gateway does not take registrations of clients. Ask its administrator for a client id, or configure a token: `portcullis token create`, sent as the header "Authorization: Bearer <token>".'

/** Every place where a client has been seen to look for the metadata (RFC 8414, OpenID Connect Discovery). */
const PLACES: Readonly<Record<string, readonly string[]>> = {
  '/.well-known/oauth-authorization-server': ['', '/*'],
  '/.well-known/openid-configuration': ['', '/*'],
}
const BEHIND = ['/mcp/.well-known/openid-configuration', '/mcp/.well-known/oauth-authorization-server', '/mcp/:upstream/.well-known/openid-configuration', '/mcp/:upstream/.well-known/oauth-authorization-server']

function discovery (app: FastifyInstance, hand: (request: FastifyRequest, reply: FastifyReply) => void): void {
  const serve = (place: string) => (request: FastifyRequest, reply: FastifyReply): void => {
    request.raw.url = place
    void reply.header('cache-control', 'public, max-age=60').header('access-control-allow-origin', '*')
    hand(request, reply)
  }
  for (const [place, endings] of Object.entries(PLACES)) for (const ending of endings) app.get(place + ending, { exposeHeadRoute: false }, serve(place))
  for (const url of BEHIND) app.get(url, { exposeHeadRoute: false }, serve(url.slice(url.indexOf('/.well-known'))))
}

/** A request that names no scope means the only one there is; oidc-provider would refuse it at the end. */
function withScope (request: FastifyRequest): string {
  const { url = '' } = request.raw
  const given = queryOf(request)
  if ((given.get('scope') ?? '') !== '') return url
  given.set('scope', SCOPE)
  return `${pathOf(url)}?${given.toString()}`
}

/** Origins that are not allowed were refused before; the others may send what they ask for. */
function preflight (request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply.code(204).header('access-control-allow-methods', 'POST').header('access-control-allow-headers', request.headers['access-control-request-headers'] ?? 'content-type').header('access-control-max-age', '600').send()
}

function limit (max: number, timeWindow: number): RouteShorthandOptions {
  return { config: { rateLimit: { max, timeWindow, errorResponseBuilder: (_request: FastifyRequest, { ttl }: { ttl: number }) => tooMany(ttl) } } }
}

function tooMany (wait: number): Refusal {
  const seconds = Math.max(1, Math.ceil(wait / 1000))
  return new Refusal('PORTCULLIS_TOO_MANY_REQUESTS', { message: `Too many of these requests. Try again in ${seconds} seconds.`, headers: { 'retry-after': String(seconds) } })
}
