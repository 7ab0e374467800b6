import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t from 'tap'
import type { Test } from 'tap'

import { adminPassword, freePort, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { openBrowser } from './browser.ts'
import type { Browser, Page } from './browser.ts'
import { openOffice, startLiar } from './company.ts'
import type { Company } from './company.ts'
import { openFlow } from './flow.ts'
import type { Flow, Tokens } from './flow.ts'

interface Office {
  readonly company: Company
  readonly gateway: TestGateway
  readonly flow: Flow
  readonly clientId: string
  readonly browser: () => Browser
  /** Follows the button of the login page to where the provider asks whether to go on. */
  toProvider (browser: Browser, changes?: { headers?: Record<string, string> }): Promise<Page>
  /** Goes on there, but stops before the answer gets to the gateway. */
  answerOf (page: Page, browser: Browser): Promise<string>
  /** All the way, with consent: what the program gets. */
  tokens (browser?: Browser): Promise<Tokens>
}

async function open (t: Test): Promise<Office> {
  const { company, gateway } = await openOffice(t)
  const flow = openFlow(gateway)
  const clientId = await flow.clientId()
  const browser = (): Browser => openBrowser(gateway.url, company.issuer)
  const toProvider = async (visitor: Browser, changes = {}): Promise<Page> => {
    const page = await visitor.open(flow.authorizationUrl(clientId))
    return await visitor.submit(page, {}, { action: `${page.url}/federate/acme`, ...changes })
  }
  return {
    company,
    gateway,
    flow,
    clientId,
    browser,
    toProvider,
    answerOf: async (page, visitor) => (await visitor.submit(page, {}, { stopBefore: '/login/acme/callback' })).url,
    async tokens (visitor = browser()) {
      const consent = await visitor.submit(await toProvider(visitor), {})
      const code = new URL((await visitor.submit(consent, { do: 'allow' })).url).searchParams.get('code')
      if (code === null) throw new Error(`no code: ${consent.status} ${consent.html}`)
      return await (await flow.redeem(clientId, code)).json() as Tokens
    },
  }
}

/** What somebody may do with a token: a server that nobody of the role reaches is not there at all. */
async function roleOf (gateway: TestGateway, token: string): Promise<'none' | 'user' | 'admin'> {
  const answer = await gateway.post('/mcp/fixture', token, INITIALIZE)
  await answer.body?.cancel()
  if (answer.status === 404) return 'none'
  const client = await gateway.client('/mcp/fixture', token)
  return (await client.listTools()).tools.some(({ name }) => name === 'secret') ? 'admin' : 'user'
}

const INITIALIZE = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } } }

t.test('a person logs in at their company (40)', async (t) => {
  const { company, gateway, tokens, browser, flow } = await open(t)
  const first = await tokens()

  await t.test('and a program that they let in calls tools with the rights of their groups', async (t) => {
    const client = await gateway.client('/mcp/fixture', first.access_token)
    t.match(await client.callTool({ name: 'echo', arguments: { text: 'hello' } }), { content: [{ text: 'hello' }] })
    t.equal(await roleOf(gateway, first.access_token), 'user')
    t.match((await gateway.rows({ kind: 'login' })).at(-1), { principal: 'ann', outcome: 'ok', detail: { via: 'acme' } })
    t.match((await gateway.rows({ kind: 'user' })).at(-1), { principal: 'ann', detail: { action: 'add', user: 'ann', via: 'acme', after: { roles: ['user'] } } })
    t.match(Object.fromEntries(company.asked[0] ?? []), { code_challenge_method: 'S256', nonce: /^[\w-]{43}$/, state: /^[\w-]{43}$/, scope: 'openid profile email' })
  })

  await t.test('a second time as the same user, and their roles are those of today', async (t) => {
    company.person = { ...company.person, preferred_username: 'ann.married', groups: ['tool-admins'] }
    const second = await tokens()
    t.equal(await roleOf(gateway, second.access_token), 'admin')
    t.equal(await roleOf(gateway, first.access_token), 'admin', 'tokens of before have them too')
    company.person = { ...company.person, groups: ['canteen'] }
    const visitor = browser()
    const refused = await visitor.submit(await again(visitor), {})
    t.equal(refused.status, 403)
    t.match(refused.html, /none of your groups there may use this gateway/)
    await until(async () => await roleOf(gateway, first.access_token) === 'none')
    t.equal((await gateway.database.pool.query('select * from user_identities')).rowCount, 1)
    t.match((await gateway.rows({ kind: 'login' })).at(-1), { principal: 'ann', outcome: 'refused', code: 'PORTCULLIS_LOGIN_REFUSED', detail: { reason: 'no group with a role' } })

    async function again (page: Browser): Promise<Page> {
      const login = await page.open(flow.authorizationUrl(await flow.clientId()))
      return await page.submit(login, {}, { action: `${login.url}/federate/acme` })
    }
  })
})

t.test('at the login of the company (40)', async (t) => {
  const { company, gateway, flow, tokens, toProvider, answerOf, browser } = await open(t)
  const seen = (): number => gateway.calls().length

  await t.test('nobody becomes a user of the same name', async (t) => {
    company.person = { sub: 'mallory-1', preferred_username: 'Admin', groups: ['tool-users'] }
    const { access_token: token } = await tokens()
    t.equal(await roleOf(gateway, token), 'user')
    t.match((await gateway.rows({ kind: 'login' })).at(-1), { principal: 'Admin-acme' })
  })

  await t.test('an answer that holds question marks is read to its end', async (t) => {
    const visitor = browser()
    const answer = await answerOf(await toProvider(visitor), visitor)
    const page = await visitor.open(answer.replace('?', '?session_state=what?now?&'))
    t.match(page, { status: 200, html: /Let .*<.h1>/ }, 'they are logged in, and asked whether to let the program in')
  })

  await t.test('somebody without a group that has a role is refused, and not made a user', async (t) => {
    const before = seen()
    company.person = { sub: 'visitor-1', preferred_username: 'visitor', groups: ['canteen'] }
    const visitor = browser()
    const page = await visitor.submit(await toProvider(visitor), {})
    t.equal(page.status, 403)
    t.match(page.html, 'Ask the administrator.')
    t.equal((await gateway.database.pool.query("select * from users where username like 'visitor%'")).rowCount, 0)
    t.equal(seen(), before, 'the upstream was not contacted')
  })

  await t.test('somebody who is disabled here is refused', async (t) => {
    company.person = { sub: 'leaver-1', preferred_username: 'leaver', groups: ['tool-users'] }
    const { access_token: token } = await tokens()
    await gateway.disableUser('leaver')
    const before = seen()
    const visitor = browser()
    const page = await visitor.submit(await toProvider(visitor), {})
    t.equal(page.status, 403)
    t.match(page.html, /account here is disabled/)
    await until(async () => await flow.status(token) === 401)
    t.equal(seen(), before, 'the upstream was not contacted')
  })

  await t.test('somebody who says no there is back on the login page, where the password still works', async (t) => {
    const visitor = browser()
    const there = await toProvider(visitor)
    const back = await visitor.submit(there, {}, { action: `${there.url}?no` })
    t.equal(back.status, 403)
    t.match(back.html, 'You were not logged in at Acme.')
    const consent = await visitor.submit(back, { username: 'admin', password: adminPassword, do: 'login' })
    t.match(consent.html, 'value="allow"')
  })

  await t.test('a provider that is away is told about, and the password still works', async (t) => {
    company.close()
    const fresh = await open(t)
    fresh.company.close()
    const visitor = fresh.browser()
    const page = await visitor.open(fresh.flow.authorizationUrl(fresh.clientId))
    const down = await visitor.submit(page, {}, { action: `${page.url}/federate/acme` })
    t.equal(down.status, 503)
    t.equal(down.headers.get('retry-after'), '5')
    t.match(down.html, 'The login at Acme cannot be reached just now.')
    t.match((await visitor.submit(page, { username: 'admin', password: adminPassword, do: 'login' })).html, 'value="allow"')
  })
})

t.test('an answer of the company (40)', async (t) => {
  const { company, gateway, toProvider, answerOf, browser } = await open(t)
  const refused = async (t: Test, page: Page, text: RegExp, name: string): Promise<void> => {
    t.equal(page.status, 403, `${name}: ${page.html}`)
    t.match(page.html, text, name)
    t.same(gateway.calls(), [], `${name}: the upstream was not contacted`)
  }
  const logins = async (): Promise<number> => (await gateway.rows({ kind: 'login', outcome: 'ok' })).length

  await t.test('is good once, and for the browser that asked', async (t) => {
    const visitor = browser()
    const answer = await answerOf(await toProvider(visitor), visitor)
    const stranger = browser()
    const stolen = await stranger.open(answer)
    t.equal(stolen.status, 404)
    t.match(stolen.html, 'belongs to another browser')
    const other = browser()
    await toProvider(other)
    const page = new URL(answer)
    await refused(t, await other.open(answer.replace('/login/acme/callback', `/interaction/${uidOf(other)}/federated/acme`)), /began in another browser/, 'another browser that logs in itself')
    t.equal(await logins(), 0)
    t.match((await visitor.open(answer)).html, 'value="allow"', 'the rightful browser was not hindered')
    t.equal(await logins(), 1)
    await refused(t, await browser().open(answer), /expired or was used before/, 'the same answer again')
    await refused(t, await visitor.open(answer), /expired or was used before/, 'and from the same browser')
    t.equal(page.searchParams.get('iss'), company.issuer)
  })

  await t.test('T14: is refused when it is changed, made up, or meant for somebody else', async (t) => {
    const thief = browser()
    const code = new URL(await answerOf(await toProvider(thief), thief)).searchParams.get('code') ?? ''
    const attacks: Record<string, [change: (answer: URL) => void, text: RegExp]> = {
      'a code of another login (injection)': [(answer) => { answer.searchParams.set('code', code) }, /could not be verified/],
      'another issuer (mix-up)': [(answer) => { answer.searchParams.set('iss', 'https://evil.example') }, /could not be verified/],
      'no issuer (mix-up)': [(answer) => { answer.searchParams.delete('iss') }, /could not be verified/],
      'the address of another provider (mix-up)': [(answer) => { answer.pathname = '/login/other/callback' }, /expired or was used before/],
      'a state that nobody gave out': [(answer) => { answer.searchParams.set('state', 'a'.repeat(43)) }, /expired or was used before/],
      'two states': [(answer) => { answer.searchParams.append('state', 'a'.repeat(43)) }, /could not be verified/],
      'no state': [(answer) => { answer.searchParams.delete('state') }, /expired or was used before/],
    }
    for (const [name, [change, text]] of Object.entries(attacks)) {
      const visitor = browser()
      const answer = new URL(await answerOf(await toProvider(visitor), visitor))
      change(answer)
      await refused(t, await visitor.open(answer.href), text, name)
    }
    t.equal(await logins(), 1)
    t.same(company.redeemed.length, 1, 'none of them got as far as a token')
  })
})

t.test('the way to the company begins with our own form (40)', async (t) => {
  const { company, gateway, toProvider, browser } = await open(t)
  for (const [name, headers] of Object.entries({ 'another site': { 'sec-fetch-site': 'cross-site' }, 'a foreign origin': { origin: 'https://evil.example' } })) {
    t.equal((await toProvider(browser(), { headers })).status, 403, name)
  }
  t.equal(company.asked.length, 0)
  const unknown = browser()
  const page = await toProvider(unknown)
  t.match(page.url, company.issuer)
  t.equal((await fetch(`${gateway.url}/login/nobody/callback?state=x`)).status, 403)
})

t.test('an ID token that is not what it should be is refused, whoever sends it (40)', async (t) => {
  const port = await freePort()
  const { privateKey, publicKey } = await generateKeyPair('RS256')
  const stranger = await generateKeyPair('RS256')
  let claims: Record<string, unknown> = {}
  let key = privateKey
  const jwk = { ...await exportJWK(publicKey), kid: 'k', alg: 'RS256', use: 'sig' }
  const issuer: string = await startLiar(t, () => ({ keys: [jwk] }), async () => await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'k' }).sign(key))
  const gateway = await startGateway(t, { env: { PORT: String(port) }, yaml: { identity: { providers: { acme: { issuer, client_id: 'gateway', roles: { staff: 'user' } } } } } })
  const flow = openFlow(gateway)
  const clientId = await flow.clientId()
  const now = Math.floor(Date.now() / 1000)
  const attempt = async (change: Record<string, unknown>, signer = privateKey): Promise<Page> => {
    const browser = openBrowser(gateway.url)
    const page = await browser.open(flow.authorizationUrl(clientId))
    const asked = new URL((await browser.submit(page, {}, { action: `${page.url}/federate/acme` })).url).searchParams
    key = signer
    claims = { iss: issuer, aud: 'gateway', sub: 'ann', exp: now + 600, iat: now, nonce: asked.get('nonce'), groups: ['staff'], preferred_username: 'ann', ...change }
    return await browser.open(`${gateway.url}/login/acme/callback?code=c&state=${asked.get('state')}`)
  }
  const lies: Record<string, [Record<string, unknown>, typeof privateKey?]> = {
    'another nonce': [{ nonce: 'n'.repeat(43) }],
    'no nonce': [{ nonce: undefined }],
    'the audience of somebody else': [{ aud: 'mail' }],
    'another issuer': [{ iss: 'https://evil.example' }],
    'an expiry in the past': [{ exp: now - 600, iat: now - 1200 }],
    'no subject': [{ sub: undefined }],
    'the key of a stranger': [{}, stranger.privateKey],
  }
  for (const [name, [change, signer]] of Object.entries(lies)) {
    const page = await attempt(change, signer)
    t.equal(page.status, 403, name)
    t.match(page.html, 'could not be verified', name)
  }
  t.equal((await gateway.database.pool.query('select * from user_identities')).rowCount, 0, 'nobody was made a user')
  t.same(gateway.calls(), [], 'the upstream was not contacted')
  t.match((await attempt({})).html, 'value="allow"', 'and the truth is accepted')
})

function uidOf (browser: Browser): string {
  return [...browser.cookies.values()].map(({ path }) => /^\/interaction\/([\w-]+)$/.exec(path)?.[1]).find((uid) => uid !== undefined) ?? 'none'
}
