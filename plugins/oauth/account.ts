import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

import type { UpstreamSpec } from '../../src/config/config.ts'
import { Refusal } from '../../src/errors.ts'
import type { Account } from '../../src/identity/account.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { openAccountCookie, readCookie } from './account-cookie.ts'
import { accountPage, lifetimesFor } from './account-page.ts'
import { loginCookie } from './facts.ts'
import { buttons } from './federated.ts'
import { LOGINS } from './interaction.ts'
import type { AccountPage, Pages } from './pages.ts'
import { queryOf } from './query.ts'

export interface AccountOptions {
  readonly identity: Pick<Identity, 'accounts' | 'federation' | 'deriveKey' | 'listGrants' | 'revokeGrant' | 'listTokens' | 'createToken' | 'revokeToken'>
  readonly pages: Pages
  /** What the user with this id reaches now. */
  readonly reachedBy: (userId: string) => Promise<readonly UpstreamSpec[]>
  readonly publicUrl: string
}

interface Answers { readonly csrf?: string, readonly username?: string, readonly password?: string, readonly old?: string, readonly new?: string, readonly again?: string, readonly name?: string, readonly only?: string, readonly days?: string }
type Outcome = Partial<Pick<AccountPage, 'error' | 'tokenError' | 'made'>>
type Form = FastifyRequest<{ Params: { id: string, provider: string }, Body: Answers | undefined, Querystring: { done?: string } }>

/** Where a person sees what can act in their name, ends it, and changes their password. */
export function account (app: FastifyInstance, { identity, pages, reachedBy, publicUrl }: AccountOptions): void {
  const { accounts, federation } = identity
  const cookie = openAccountCookie(identity.deriveKey('account forms'), publicUrl)

  app.get('/account', { exposeHeadRoute: false }, async (request: Form, reply) => {
    if (isOtherLoopback(request.headers.host, publicUrl)) return await reply.redirect(`${publicUrl}/account`, 303)
    const present = await presentOf(request)
    return present === undefined ? await showLogin(request, reply) : await show(present, request, reply, { done: request.query.done })
  })

  app.post('/account/login', { config: LOGINS, preHandler: sameForm }, async (request: Form, reply) => {
    const { username = '', password = '' } = request.body ?? {}
    try {
      cookie.write(reply, await accounts.open(username.slice(0, 256), password.slice(0, 1024), request.ip))
      return await reply.redirect('/account', 303)
    } catch (error) {
      return await showLogin(request, reply, { username: username.slice(0, 256), error: tell(error, reply) })
    }
  })

  app.post('/account/federate/:provider', { config: LOGINS, preHandler: sameForm }, async (request: Form, reply) => {
    const { provider } = request.params
    return await reply.redirect(await federation.begin(provider, { browser: browserOf(request), page: `/account/federated/${provider}` }), 303)
  })

  app.get('/account/federated/:provider', { exposeHeadRoute: false }, async (request: Form, reply) => {
    try {
      const { id } = await federation.complete(request.params.provider, queryOf(request), { browser: browserOf(request), source: request.ip })
      cookie.write(reply, await accounts.enter(id))
      return await reply.redirect('/account', 303)
    } catch (error) {
      return await showLogin(request, reply, { error: tell(error, reply) })
    }
  })

  app.post('/account/logout', { preHandler: sameForm }, async (request: Form, reply) => {
    await accounts.close(cookie.read(request) ?? '', request.ip, readCookie(request, loginCookie(publicUrl)))
    return await reply.redirect('/account?done=logout', 303)
  })

  app.post('/account/password', { config: LOGINS, preHandler: sameForm }, async (request: Form, reply) => {
    const present = await personOf(request)
    const { old = '', new: wanted = '', again = '' } = request.body ?? {}
    try {
      if (wanted !== again) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: 'The two new passwords are not the same. Nothing was changed.' })
      cookie.write(reply, await accounts.changePassword(present, { old: old.slice(0, 1024), new: wanted.slice(0, 1024) }, request.ip))
      return await reply.redirect('/account?done=password', 303)
    } catch (error) {
      return await show(present, request, reply, { error: tell(error, reply, WRONG) })
    }
  })

  app.post('/account/grants/:id/end', { preHandler: sameForm }, async (request: Form, reply) => {
    const { user } = await personOf(request)
    await identity.revokeGrant(user, request.params.id, request.ip)
    return await reply.redirect('/account?done=grant', 303)
  })

  // The page itself is the answer, no address to be sent on to: the token is shown this once and is kept nowhere.
  app.post('/account/tokens', { preHandler: sameForm }, async (request: Form, reply) => {
    const present = await personOf(request)
    const { name = '', only = '', days = '' } = request.body ?? {}
    try {
      const longest = Math.max(...lifetimesFor(present))
      if (Number(days) > longest) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `A token that you make here lives at most ${longest} days. None was made.` })
      const scopes = only.trim() === '' ? null : only.trim().split(/[\s,]+/)
      const made = await identity.createToken({ user: present.user, name, scopes, days: Number(days), source: request.ip })
      return await show(present, request, reply, { made: { name: made.name, token: made.token } })
    } catch (error) {
      return await show(present, request, reply, { tokenError: tell(error, reply) })
    }
  })

  app.post('/account/tokens/:id/revoke', { preHandler: sameForm }, async (request: Form, reply) => {
    const { user } = await personOf(request)
    await identity.revokeToken({ id: request.params.id, userId: user.id, source: request.ip })
    return await reply.redirect('/account?done=token', 303)
  })

  /** What only the browser that was shown the login page can show again. */
  function browserOf (request: FastifyRequest): string {
    return `account ${cookie.tokenOf(cookie.read(request) ?? '')}`
  }

  async function presentOf (request: FastifyRequest): Promise<Account | undefined> {
    const secret = cookie.read(request)
    return secret === undefined ? undefined : await accounts.find(secret)
  }

  async function personOf (request: FastifyRequest): Promise<Account> {
    const present = await presentOf(request)
    if (present === undefined) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'You are not logged in here any more. Open /account and log in again.' })
    return present
  }

  async function showLogin (request: Form, reply: FastifyReply, more: { username?: string, error?: string } = {}): Promise<FastifyReply> {
    const csrf = cookie.tokenOf(cookie.ensure(request, reply))
    return await reply.type(HTML).send(pages.accountLogin({ csrf, providers: buttons(federation, '/account/federate'), done: request.query.done === 'logout', ...more }))
  }

  async function show (present: Account, request: Form, reply: FastifyReply, { done, ...more }: { done?: string | undefined } & Outcome): Promise<FastifyReply> {
    const { user } = present
    const [grants, tokens, upstreams] = await Promise.all([identity.listGrants(user.id), identity.listTokens(user.id), reachedBy(user.id)])
    const csrf = cookie.tokenOf(cookie.read(request) ?? '')
    return await reply.type(HTML).send(pages.account({ csrf, ...accountPage({ present, grants, tokens, upstreams, publicUrl, done }), error: undefined, tokenError: undefined, made: undefined, ...more }))
  }

  async function sameForm (request: Form): Promise<void> {
    if (!cookie.isOurs(request, request.body?.csrf)) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'This form was not sent by the account page of this gateway, or is older than an hour. Open /account and try again.' })
    return await Promise.resolve()
  }
}

const HTML = 'text/html; charset=utf-8'
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']

/** This very gateway by another of the names of this computer: a page would open there, but its forms are taken from `publicUrl` only. */
function isOtherLoopback (host: string | undefined, publicUrl: string): boolean {
  const [given, ours] = [`http://${host}`, publicUrl].map((text) => URL.canParse(text) ? new URL(text) : undefined)
  if (given === undefined || ours === undefined || ours.protocol !== 'http:') return false
  return given.hostname !== ours.hostname && given.port === ours.port && LOOPBACK.includes(given.hostname) && LOOPBACK.includes(ours.hostname)
}

/** The person is known here; that they must wait after too many tries is not told, as anywhere. */
const WRONG = 'The password that you have now is another one. Nothing was changed.'

/** What a refusal says, with its status and headers on the reply. */
function tell (error: unknown, reply: FastifyReply, badCredentials?: string): string {
  if (!(error instanceof Refusal)) throw error
  void reply.code(error.status).headers(error.headers)
  return error.code === 'PORTCULLIS_BAD_CREDENTIALS' ? badCredentials ?? error.message : error.message
}
