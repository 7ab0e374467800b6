import t from 'tap'
import type { Test } from 'tap'

import { adminPassword, startGateway } from '../support/gateway.ts'
import { envelope, modernHeaders } from '../support/wire.ts'
import { openBrowser } from './browser.ts'
import type { Browser, Page } from './browser.ts'
import { openFlow } from './flow.ts'

const NEW_PASSWORD = 'violet cargo mint thirty-one'

t.test('the account pages', async (t) => {
  const { gateway, url, flow, loggedIn, press } = await open(t)
  const count = async (): Promise<number> => Number((await gateway.database.pool.query<{ count: string }>("select count(*) from oauth_artifacts where kind = 'AccountSession'")).rows[0]?.count)

  await t.test('show who is logged in, what was let in and the tokens there are, and nothing before the login', async (t) => {
    const browser = openBrowser(url)
    const before = await browser.open(`${url}/account`)
    t.match(before.html, /name="password"/)
    t.match(before.headers.get('cache-control'), 'no-store')
    t.match(before.headers.get('content-security-policy'), /default-src 'none'.*frame-ancestors 'none'/)
    const cookie = [...browser.cookies.values()][0]
    t.match(cookie?.attributes, /HttpOnly; SameSite=Lax/)
    await flow.tokens(await flow.clientId({ client_name: '<b>Editor</b>' }), { resource: `${url}/mcp/fixture` })
    await gateway.gateway.app.identity.createToken({ user: await gateway.gateway.app.identity.authenticate(`Bearer ${await gateway.login()}`), name: 'laptop', scopes: ['fixture/echo'], source: 'test' })
    const page = await browser.submit(before, { username: 'ADMIN', password: adminPassword })
    t.equal(page.url, `${url}/account`)
    t.match(page.html, 'You are <strong>admin</strong>')
    t.match(page.html, '&lt;b&gt;Editor&lt;/b&gt;', 'a name that a program chose is text')
    t.match(page.html, 'Not verified')
    t.match(page.html, 'Calls tools of fixture as you')
    t.match(page.html, 'laptop')
    t.match(page.html, 'Only fixture/echo')
    t.match(page.html, 'This browser')
    t.not([...browser.cookies.values()][0]?.value, cookie?.value, 'the cookie of before the login is no login (fixation)')
    const row = (await gateway.database.pool.query<{ row: string }>("select a::text as row from oauth_artifacts a where kind = 'AccountSession'")).rows[0]
    t.notMatch(String(row?.row), [...browser.cookies.values()][0]?.value ?? 'none', 'the database has only a hash of it')
  })

  await t.test('open under the one name that their forms are taken from, whichever name of this computer was typed', async (t) => {
    const { hostname, port } = new URL(url)
    for (const name of ['localhost', '127.0.0.1'].filter((other) => other !== hostname)) {
      const response = await fetch(`http://${name}:${port}/account`, { redirect: 'manual' })
      t.equal(response.status, 303)
      t.equal(response.headers.get('location'), `${url}/account`)
    }
    t.equal((await fetch(`${url}/account`, { redirect: 'manual' })).status, 200)
  })

  await t.test('say of a wrong password and an unknown name the same', async (t) => {
    const answers = await Promise.all([loggedIn('admin', 'wrong-password-1'), loggedIn('nobody', 'wrong-password-1')])
    for (const { page } of answers) {
      t.equal(page.status, 401)
      t.match(page.html, 'Wrong username or password.')
    }
  })

  await t.test('T55: refuse every form that they did not make themselves, and do nothing', async (t) => {
    const { browser, page } = await loggedIn()
    const stranger = openBrowser(url)
    const foreign = /name="csrf" value="([^"]*)"/.exec((await stranger.open(`${url}/account`)).html)?.[1] ?? ''
    const sessions = await count()
    const cases: [string, { headers?: Record<string, string>, fields?: Record<string, string> }][] = [
      ['no token', { fields: { csrf: '' } }], ['the token of another browser', { fields: { csrf: foreign } }],
      ['another site', { headers: { 'sec-fetch-site': 'cross-site' } }], ['a foreign origin', { headers: { origin: 'https://evil.example' } }], ['no origin to speak of', { headers: { origin: 'null' } }],
    ]
    for (const action of ['/account/tokens', '/account/logout', '/account/password', '/account/grants/x/end', '/account/tokens/x/revoke']) {
      for (const [name, options] of cases) t.equal((await press(browser, page, action, options)).status, 403, `${action}: ${name}`)
    }
    for (const [name, options] of cases.slice(0, 3)) t.equal((await press(browser, page, '/account/login', { ...options, fields: { username: 'admin', password: adminPassword, ...options.fields } })).status, 403, `login: ${name}`)
    t.equal(await count(), sessions)
    t.match((await browser.open(`${url}/account`)).html, 'You are <strong>admin</strong>', 'still logged in')
  })

  await t.test('make a token that is shown once and calls what it may; one that is asked for wrongly is not made', async (t) => {
    const { browser, page } = await loggedIn()
    const made = await press(browser, page, '/account/tokens', { fields: { name: 'build <server>', only: 'fixture/echo  other/*', days: '30' } })
    const token = /<code>(portcullis_pat_[\w-]+)<\/code>/.exec(made.html)?.[1] ?? ''
    t.equal(await flow.status(token), 200)
    t.match(made.headers.get('cache-control'), 'no-store')
    t.match(made.html, 'build &lt;server&gt;')
    const again = await browser.open(`${url}/account`)
    t.match(again.html, 'Only fixture/echo, other/*')
    t.notMatch(again.html, token, 'not a second time')
    const denied = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'add', arguments: { a: 1, b: 2 }, _meta: envelope } }, modernHeaders('tools/call', 'add'))
    t.match(await denied.text(), /Unknown tool/)
    t.notOk(gateway.calls().some(({ method }) => method === 'tools/call'), 'the upstream heard nothing of it')
    t.match((await gateway.rows({ kind: 'token' })).at(-1), { principal: 'admin', outcome: 'ok', detail: { action: 'create', name: 'build <server>' } })
    const before = (await gateway.rows({ kind: 'token' })).length
    const cases: [Record<string, string>, RegExp][] = [
      [{ name: '', days: '30' }, /The name of a token is 1 to 64/],
      [{ name: 'x', only: 'everything', days: '30' }, /Scope 1 is not a pattern/],
      [{ name: 'x', days: '366' }, /at most 365 days/],
      [{ name: 'x', days: '0' }, /A token lives 1 to 365 whole days/],
      [{ name: 'x', days: 'long' }, /A token lives 1 to 365 whole days/],
    ]
    for (const [fields, error] of cases) {
      const refused = await press(browser, page, '/account/tokens', { fields })
      t.equal(refused.status, 400)
      t.match(refused.html, error)
      t.match(refused.html, /role="alert" id="token-fault"/)
    }
    t.equal((await gateway.rows({ kind: 'token' })).length, before)
  })

  await t.test('end a program and revoke a token: both are refused on the next call', async (t) => {
    const { browser, page } = await loggedIn()
    const client = await flow.clientId({ client_name: 'Short-lived' })
    const tokens = await flow.tokens(client)
    const { identity } = gateway.gateway.app
    const created = await identity.createToken({ user: await identity.authenticate(`Bearer ${await gateway.login()}`), name: 'to be revoked', source: 'test' })
    t.same([await flow.status(tokens.access_token), await flow.status(created.token)], [200, 200])
    const grant = (await identity.listGrants((await identity.authenticate(`Bearer ${created.token}`)).id)).find(({ clientId }) => clientId === client)
    t.match((await press(browser, page, `/account/grants/${grant?.id}/end`)).html, 'It is ended')
    t.match((await press(browser, page, `/account/tokens/${created.id}/revoke`)).html, 'The token is revoked')
    t.same([await flow.status(tokens.access_token), await flow.status(created.token)], [401, 401])
    t.equal((await flow.refresh(client, tokens.refresh_token)).status, 400)
  })

  await t.test('do not touch what belongs to somebody else, and do not say that it exists', async (t) => {
    await gateway.addUser('eve', ['user'])
    const { identity } = gateway.gateway.app
    const token = await gateway.login()
    const admin = await identity.authenticate(`Bearer ${token}`)
    const created = await identity.createToken({ user: admin, name: 'of the admin', source: 'test' })
    const [grant] = await identity.listGrants(admin.id)
    const { browser, page } = await loggedIn('eve', 'password of eve, long enough')
    t.notMatch(page.html, 'of the admin')
    for (const action of [`/account/tokens/${created.id}/revoke`, `/account/grants/${grant?.id}/end`, '/account/tokens/00000000-0000-4000-8000-000000000000/revoke', '/account/grants/nothing/end']) t.equal((await press(browser, page, action)).status, 404, action)
    t.same([await flow.status(token), await flow.status(created.token)], [200, 200])
  })
})

t.test('a login to the account pages', async (t) => {
  const { gateway, url, flow, loggedIn, press } = await open(t)

  await t.test('changes the password: the one of now is wanted, and every other login and program ends', async (t) => {
    await gateway.addUser('bo', ['user'])
    const before = await gateway.login('bo', 'password of bo, long enough')
    const { browser, page } = await loggedIn('bo', 'password of bo, long enough')
    const other = await loggedIn('bo', 'password of bo, long enough')
    const change = async (old: string, next: string, again = next) => await press(browser, page, '/account/password', { fields: { old, new: next, again } })
    t.match(await change('not the password', NEW_PASSWORD), { status: 401, html: /Nothing was changed/ })
    t.match(await change('password of bo, long enough', 'password12345'), { status: 400, html: /close to a password that is often used/ })
    t.match(await change('password of bo, long enough', NEW_PASSWORD, 'something else'), { status: 400, html: /not the same/ })
    t.equal(await flow.status(before), 200, 'what was refused ended nothing')
    t.match((await change('password of bo, long enough', NEW_PASSWORD)).html, 'Your password is changed')
    t.equal(await flow.status(before), 401)
    t.match((await other.browser.open(`${url}/account`)).html, /name="password" type="password" autocomplete="current-password"/, 'the other browser is logged out')
    t.match((await browser.open(`${url}/account`)).html, 'You are <strong>bo</strong>', 'this one is not')
    t.type(await gateway.login('bo', NEW_PASSWORD), 'string')
    const rows = (await gateway.rows({ kind: 'user' })).filter(({ principal: name }) => name === 'bo')
    t.equal(rows.length, 1, 'and it is on the record')
  })

  await t.test('ends with the logout, with the account, and after an hour', async (t) => {
    const { browser, page } = await loggedIn()
    const secret = [...browser.cookies.values()][0]?.value ?? ''
    const visit = async (): Promise<string> => await (await fetch(`${url}/account`, { headers: { cookie: `portcullis-account=${secret}` } })).text()
    t.match(await visit(), 'You are <strong>admin</strong>')
    t.match((await press(browser, page, '/account/logout')).html, 'You are logged out.')
    t.notMatch(await visit(), 'You are <strong>')

    await gateway.addUser('gone', ['user'])
    const gone = await loggedIn('gone', 'password of gone, long enough')
    await gateway.disableUser('gone')
    t.notMatch((await gone.browser.open(`${url}/account`)).html, 'You are <strong>')

    const late = await loggedIn()
    await gateway.database.pool.query("update oauth_artifacts set expires_at = now() where kind = 'AccountSession'")
    t.notMatch((await late.browser.open(`${url}/account`)).html, 'You are <strong>')
  })
})

/** A gateway, a browser that has logged in on its account page, and the buttons there. */
async function open (t: Test) {
  const gateway = await startGateway(t)
  const { url } = gateway
  return {
    gateway,
    url,
    flow: openFlow(gateway),
    async loggedIn (username = 'admin', password = adminPassword): Promise<{ browser: Browser, page: Page }> {
      const browser = openBrowser(url)
      return { browser, page: await browser.submit(await browser.open(`${url}/account`), { username, password }) }
    },
    async press (browser: Browser, page: Page, action: string, { fields, headers }: { headers?: Record<string, string>, fields?: Record<string, string> } = {}): Promise<Page> {
      const csrf = /name="csrf" value="([^"]*)"/.exec(page.html)?.[1] ?? ''
      return await browser.submit({ ...page, html: '' }, { csrf, ...fields }, { action: url + action, ...(headers !== undefined && { headers }) })
    },
  }
}
