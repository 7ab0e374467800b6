import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import helmet from '@fastify/helmet'
import type { FastifyError, FastifyInstance } from 'fastify'
import type Provider from 'oidc-provider'

import type { Database } from '../../db/connect.ts'
import { findById } from '../../db/users.ts'
import type { Config, UpstreamSpec } from '../../src/config/config.ts'
import { Refusal } from '../../src/errors.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { reach } from '../../src/identity/store.ts'
import type { IdentityTally } from '../../src/identity/tally.ts'
import { account } from './account.ts'
import type { AccountOptions } from './account.ts'
import { federated } from './federated.ts'
import { interaction } from './interaction.ts'
import type { InteractionOptions } from './interaction.ts'
import { mount } from './mount.ts'
import { grantName, noteEnd } from './grant-events.ts'
import { openPages, uiFolder } from './pages.ts'
import { openProvider } from './provider.ts'
import type { ProviderOptions } from './provider.ts'
import { revokeAccessTokens } from './revoke.ts'
import { showFailures } from './failures.ts'
import { wayBack } from './way-back.ts'

export interface OAuthOptions extends Pick<InteractionOptions, 'reachable' | 'audit'> {
  readonly identity: Pick<Identity, 'claims' | 'onKeyChange'> & ProviderOptions['identity'] & InteractionOptions['identity'] & AccountOptions['identity']
  readonly database: Pick<Database, 'db'>
  readonly tally: Pick<IdentityTally, 'tokenIssued'>
  readonly config: Pick<Config, 'oauth' | 'upstreams'> & { readonly server: Pick<Config['server'], 'publicUrl'> }
}

/** The door: the authorization server that clients find by themselves, and the pages where people let them in. */
export async function oauth (app: FastifyInstance, { identity, database: { db }, config, audit, tally, reachable }: OAuthOptions): Promise<void> {
  const pages = openPages()
  const vouched = randomUUID()
  const { publicUrl } = config.server
  const { registration } = config.oauth
  const open = (): Provider => {
    const opened = openProvider({ identity, db, publicUrl, audit, pages, vouched, spec: config.oauth })
    opened.on('server_error', (_ctx, error) => app.log.error({ err: error }, 'the authorization server failed'))
    opened.on('grant.revoked', (ctx, grantId) => { noteEnd(audit, ctx, grantId) })
    opened.on('grant.success', (ctx) => { tally.tokenIssued(grantName(ctx)) })
    showFailures(opened, { pages, log: app.log })
    revokeAccessTokens(opened, identity, audit)
    return opened
  }
  let provider = open()
  // Its keys are fixed when it is opened.
  identity.onKeyChange(() => { provider = open() })
  const current = (): Provider => provider

  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      // Not form-action: Chromium applies it to the redirect that takes the person back to their app.
      directives: { defaultSrc: ["'none'"], styleSrc: ["'self'"], scriptSrc: ["'self'"], imgSrc: ["'self'"], baseUri: ["'none'"], frameAncestors: ["'none'"] },
    },
    // With no-referrer, Chromium sends `Origin: null` with our own forms.
    referrerPolicy: { policy: 'same-origin' },
    frameguard: { action: 'deny' },
    crossOriginOpenerPolicy: false,
    crossOriginResourcePolicy: { policy: 'cross-origin' },
    hsts: publicUrl.startsWith('https:'),
  })
  app.addHook('onRequest', async (_request, reply) => { void reply.header('cache-control', 'no-store') })

  for (const [file, type] of [['style.css', 'text/css; charset=utf-8'], ['icon.svg', 'image/svg+xml']] as const) {
    const content = readFileSync(join(uiFolder(), file))
    app.get(`/oauth/${file}`, async (_request, reply) => await reply.type(type).header('cache-control', 'public, max-age=3600').send(content))
  }

  await app.register(async (scope) => await mount(scope, { provider: current, publicUrl, registration }))
  await app.register(async (scope) => {
    scope.setErrorHandler((error: FastifyError, _request, reply) => {
      const known = error instanceof Refusal ? error : new Refusal('PORTCULLIS_INTERNAL', { cause: error })
      if (known.status >= 500 && known.cause !== undefined) app.log.error({ err: known.cause ?? known }, 'a login page failed')
      return reply.code(known.status).headers(known.headers).type('text/html; charset=utf-8').send(pages.message({ title: 'This does not work', text: known.message }))
    })
    federated(scope, identity.federation)
    account(scope, { identity, pages, publicUrl, reachedBy })
    interaction(scope, { provider: current, db, identity, audit, pages, publicUrl, reachable })
    await Promise.resolve()
  })
  wayBack(app)

  async function reachedBy (userId: string): Promise<readonly UpstreamSpec[]> {
    const user = await reach(async () => await findById(db, userId))
    const names = user === undefined ? [] : reachable({ id: user.id, name: user.username, roles: user.roles })
    return [...config.upstreams.values()].filter(({ name }) => names.includes(name))
  }
}
