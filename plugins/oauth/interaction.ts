import { createHmac, timingSafeEqual } from 'node:crypto'

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type Provider from 'oidc-provider'
import type { InteractionResults } from 'oidc-provider'

import { touchClient } from '../../db/oauth-clients.ts'
import type { Database } from '../../db/connect.ts'
import { findById } from '../../db/users.ts'
import type { LoginRow } from '../../db/users.ts'
import { Refusal } from '../../src/errors.ts'
import type { Audit } from '../../src/identity/audit.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { reach } from '../../src/identity/store.ts'
import { consentPage, describeClient } from './consent.ts'
import { ROUTES } from './facts.ts'
import { buttons } from './federated.ts'
import { grantOf } from './grant.ts'
import type { Pages } from './pages.ts'
import { queryOf } from './query.ts'

export interface InteractionOptions {
  readonly provider: () => Provider
  readonly db: Database['db']
  readonly identity: Pick<Identity, 'verifyPassword' | 'federation' | 'deriveKey'>
  readonly audit: Audit
  readonly pages: Pages
  readonly publicUrl: string
  /** Upstreams that somebody with these roles reaches. */
  readonly reachable: (user: { readonly id: string, readonly name: string, readonly roles: readonly string[] }) => readonly string[]
}

export type Details = Awaited<ReturnType<Provider['interactionDetails']>>

interface Params { uid: string, provider: string }
interface Answers { csrf?: string, do?: string, username?: string, password?: string }

/** The two questions a person is asked: who are you, and may this program come in. */
export function interaction (app: FastifyInstance, options: InteractionOptions): void {
  const { provider, db, identity, audit, pages, publicUrl } = options
  const { federation } = identity
  const key = identity.deriveKey('interaction forms')
  const csrfOf = (uid: string): string => createHmac('sha256', key).update(uid).digest('base64url')

  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: 8192 }, (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(String(body)))))

  app.get<{ Params: Params }>('/interaction/:uid', { exposeHeadRoute: false }, async (request, reply) => {
    const details = await detailsOf(request, reply)
    return await show(reply, details)
  })

  app.post<{ Params: Params, Body: Answers }>('/interaction/:uid/login', { config: LOGINS, preHandler: sameForm }, async (request, reply) => {
    const details = await detailsOf(request, reply)
    if (request.body.do === 'cancel') return await finish(request, reply, CANCELLED)
    const { username = '', password = '' } = request.body
    try {
      const { id } = await identity.verifyPassword(username.slice(0, 256), password.slice(0, 1024), request.ip)
      return await finish(request, reply, { login: { accountId: id } })
    } catch (error) {
      return await showAgain(error, reply, details, username.slice(0, 256))
    }
  })

  app.post<{ Params: Params, Body: Answers }>('/interaction/:uid/federate/:provider', { config: LOGINS, preHandler: sameForm }, async (request, reply) => {
    const { uid } = await detailsOf(request, reply)
    const { provider: name } = request.params
    return await reply.redirect(await federation.begin(name, { browser: `interaction ${uid}`, page: `/interaction/${uid}/federated/${name}` }), 303)
  })

  app.get<{ Params: Params }>('/interaction/:uid/federated/:provider', { exposeHeadRoute: false }, async (request, reply) => {
    const details = await detailsOf(request, reply)
    try {
      const { id } = await federation.complete(request.params.provider, queryOf(request), { browser: `interaction ${details.uid}`, source: request.ip })
      return await finish(request, reply, { login: { accountId: id } })
    } catch (error) {
      return await showAgain(error, reply, details)
    }
  })

  app.post<{ Params: Params, Body: Answers }>('/interaction/:uid/confirm', { preHandler: sameForm }, async (request, reply) => {
    const details = await detailsOf(request, reply)
    if (details.prompt.name !== 'consent') throw gone()
    if (request.body.do === 'switch') return await reply.redirect(await startAgain(details), 303)
    const user = await userOf(details)
    const client = await describeClient(provider(), details)
    const detail = { action: request.body.do === 'allow' ? 'allow client' : 'refuse client', client: client.id, name: client.name, redirect: client.redirect }
    audit({ kind: 'token', principal: { id: user.id, name: user.username }, source: request.ip, outcome: 'ok', detail })
    if (request.body.do !== 'allow') return await finish(request, reply, CANCELLED)
    await reach(async () => await touchClient(db, client.id, new Date()))
    return await finish(request, reply, { consent: { grantId: await grantOf(provider(), details) } })
  })

  /** The interaction that the browser's cookie belongs to, and only that one. */
  async function detailsOf (request: FastifyRequest<{ Params: Params }>, reply: FastifyReply): Promise<Details> {
    const details = await provider().interactionDetails(request.raw, reply.raw).catch(() => { throw gone() })
    if (details.uid !== request.params.uid) throw gone()
    return details
  }

  async function show (reply: FastifyReply, details: Details, more: { username?: string, error?: string } = {}): Promise<FastifyReply> {
    const client = await describeClient(provider(), details)
    const action = `/interaction/${details.uid}`
    const csrf = csrfOf(details.uid)
    void reply.type('text/html; charset=utf-8')
    if (details.prompt.name === 'login') return await reply.send(pages.login({ action: `${action}/login`, csrf, providers: buttons(federation, `${action}/federate`), client: client.name, ...more }))
    const user = await userOf(details)
    const reachable = options.reachable({ id: user.id, name: user.username, roles: user.roles })
    return await reply.send(pages.consent({ action: `${action}/confirm`, csrf, ...consentPage(client, details, publicUrl, user.username, reachable), canSwitch: details.deviceCode === undefined }))
  }

  /** The login page, with what went wrong. */
  async function showAgain (error: unknown, reply: FastifyReply, details: Details, username?: string): Promise<FastifyReply> {
    if (!(error instanceof Refusal)) throw error
    return await show(reply.code(error.status).headers(error.headers), details, { error: error.message, ...(username !== undefined && { username }) })
  }

  async function userOf (details: Details): Promise<LoginRow> {
    const id = details.session?.accountId
    const user = id === undefined ? undefined : await reach(async () => await findById(db, id))
    if (user === undefined || user.disabled) throw gone()
    return user
  }

  /** Forgets who is logged in here, and goes back to the beginning. */
  async function startAgain ({ session, params }: Details): Promise<string> {
    if (session?.cookie !== undefined) await (await provider().Session.find(session.cookie))?.destroy()
    const query = Object.entries(params).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).filter((text) => typeof text === 'string').map((text): [string, string] => [name, text as string]))
    return `${ROUTES.authorization}?${new URLSearchParams(query).toString()}`
  }

  async function finish (request: FastifyRequest, reply: FastifyReply, result: InteractionResults): Promise<FastifyReply> {
    return await reply.redirect(await provider().interactionResult(request.raw, reply.raw, result, { mergeWithLastSubmission: false }), 303)
  }

  /** A form of ours, sent by a page of ours: the token belongs to this interaction, the browser says where it comes from. */
  async function sameForm (request: FastifyRequest<{ Params: Params, Body: Answers }>): Promise<void> {
    const { origin, 'sec-fetch-site': site } = request.headers
    const given = Buffer.from(String(request.body?.csrf ?? ''))
    const wanted = Buffer.from(csrfOf(request.params.uid))
    const isOurs = given.length === wanted.length && timingSafeEqual(given, wanted)
    if (!isOurs || (site !== undefined && site !== 'same-origin') || (origin !== undefined && origin !== publicUrl)) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'This form was not sent by the login page of this gateway. Go back to your app and connect again.' })
    return await Promise.resolve()
  }
}

const CANCELLED: InteractionResults = { error: 'access_denied', error_description: 'the person said no' }

/** Of every form that takes a password, from one address. */
export const LOGINS = {
  rateLimit: {
    max: 10,
    timeWindow: 60_000,
    errorResponseBuilder: (_request: FastifyRequest, { ttl }: { ttl: number }) => {
      const seconds = Math.max(1, Math.ceil(ttl / 1000))
      return new Refusal('PORTCULLIS_TOO_MANY_REQUESTS', { message: `Too many tries from your address. Try again in ${seconds} seconds.`, headers: { 'retry-after': String(seconds) } })
    },
  },
}

function gone (): Refusal {
  return new Refusal('PORTCULLIS_NOT_FOUND', { message: 'This login has expired, or belongs to another browser. Go back to your app and connect again.' })
}
