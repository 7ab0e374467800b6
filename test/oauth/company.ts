import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Test } from 'tap'

import { Provider } from '../../plugins/oauth/library.ts'
import { freePort, startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

/** A company's OpenID Connect provider: a real one, with a login page that asks only whether to go on. */
export interface Company {
  readonly issuer: string
  /** Who is sitting before the browser. */
  person: { sub: string, [claim: string]: unknown }
  /** Parameters of the authorization requests that came. */
  readonly asked: URLSearchParams[]
  /** Clients that got tokens, once for each time. */
  readonly redeemed: string[]
  close (): void
}

const CLIENT = { id: 'portcullis-gateway', secret: 'a secret of the company, which is long enough' }

/** `gateway`: where the gateway will be, since its callback has to be known. */
async function startCompany (t: Test, gateway: string): Promise<Company> {
  const issuer = `http://127.0.0.1:${await freePort()}`
  const provider = new Provider(issuer, {
    clients: [{ client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: [`${gateway}/login/acme/callback`], response_types: ['code'], grant_types: ['authorization_code'] }],
    cookies: { keys: ['a key of the company'] },
    features: { devInteractions: { enabled: false } },
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    pkce: { required: () => true },
    scopes: ['openid'],
    interactions: { url: (_ctx, { uid }) => `/company/${uid}` },
    ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 600, AuthorizationCode: 60, IdToken: 600 },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ ...self.person, sub: id }) }),
    async loadExistingGrant (ctx) {
      const grant = new ctx.oidc.provider.Grant({ clientId: CLIENT.id, accountId: ctx.oidc.session?.accountId })
      grant.addOIDCScope('openid profile email')
      await grant.save()
      return grant
    },
  })
  provider.on('grant.success', ({ oidc }) => { self.redeemed.push(String(oidc.client?.clientId)) })
  const answer = provider.callback()
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', issuer)
    if (url.pathname === '/auth') self.asked.push(url.searchParams)
    if (!url.pathname.startsWith('/company/')) {
      answer(request, response)
      return
    }
    if (request.method === 'GET') {
      response.setHeader('content-type', 'text/html').end(`<!doctype html><html lang="en"><title>Acme</title><link rel="icon" href="data:,"><h1>Acme</h1><form method="post" action="${url.pathname}"><button name="do" value="go">Go on as ${self.person.sub}</button></form><form method="post" action="${url.pathname}?no"><button>No</button></form></html>`)
      return
    }
    const result = url.search === '?no' ? { error: 'access_denied', error_description: 'the person said no' } : { login: { accountId: self.person.sub } }
    provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false }).catch(() => response.writeHead(500).end())
  })
  const { port } = new URL(issuer)
  await new Promise<void>((resolve) => server.listen(Number(port), '127.0.0.1', resolve))
  const close = (): void => { server.closeAllConnections(); server.close() }
  t.teardown(close)
  const self: Company = { issuer, person: { sub: 'ann-1', preferred_username: 'ann', groups: ['tool-users'] }, asked: [], redeemed: [], close }
  return self
}

/** A gateway whose people log in at a company: it is configured as `acme`, and once more as `other`. */
export async function openOffice (t: Test): Promise<{ readonly company: Company, readonly gateway: TestGateway }> {
  const port = await freePort()
  const company = await startCompany(t, `http://127.0.0.1:${port}`)
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-office-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'data', 'secrets'), { recursive: true })
  writeFileSync(join(folder, 'data', 'secrets', 'acme'), `${CLIENT.secret}\n`)
  chmodSync(folder, 0o755)
  // eslint-disable-next-line no-template-curly-in-string -- the form of a reference
  const acme = { issuer: company.issuer, client_id: CLIENT.id, client_secret: '${secret:acme}', title: 'Acme', roles: { 'tool-users': 'user', 'tool-admins': 'admin' } }
  const gateway = await startGateway(t, { folder, env: { PORT: String(port) }, yaml: { identity: { providers: { acme, other: { ...acme, title: 'Other' } } } } })
  return { company, gateway }
}

/** A provider that puts into an ID token whatever it is told. */
export async function startLiar (t: Test, keys: () => unknown, idToken: () => Promise<string>): Promise<string> {
  const server = createServer((request, response) => {
    const answers: Record<string, () => unknown> = {
      '/.well-known/openid-configuration': () => ({ issuer, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/keys`, response_types_supported: ['code'], subject_types_supported: ['public'], id_token_signing_alg_values_supported: ['RS256'] }),
      '/keys': keys,
      '/token': async () => ({ access_token: 'x', token_type: 'Bearer', id_token: await idToken() }),
    }
    Promise.resolve(answers[request.url ?? '']?.()).then((body) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body)), () => response.writeHead(500).end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return issuer
}
