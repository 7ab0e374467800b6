import t from 'tap'

import { adminPassword, startGateway } from '../support/gateway.ts'
import { letIn, openBrowser } from './browser.ts'
import type { Browser, Page } from './browser.ts'
import { openFlow } from './flow.ts'

t.test('the account page shows the browsers that stay logged in on the login page, and ends each alone', async (t) => {
  const gateway = await startGateway(t)
  const { url } = gateway
  const flow = openFlow(gateway)
  const client = await flow.clientId()
  const [older, newer] = [openBrowser(url), openBrowser(url)]
  for (const browser of [older, newer]) await letIn(browser, flow.authorizationUrl(client), 'admin', adminPassword)
  const isKnown = async (browser: Browser): Promise<boolean> => (await browser.open(flow.authorizationUrl(client))).html.includes('value="allow"')
  t.same([await isKnown(older), await isKnown(newer)], [true, true])
  await gateway.database.pool.query("update oauth_artifacts set payload = jsonb_set(payload, '{loginTs}', to_jsonb((payload ->> 'loginTs')::int8 - 60)) where kind = 'oauth.Session' and id = $1", [secretOf(older)])

  const { identity } = gateway.gateway.app
  const { id: userId } = await identity.authenticate(`Bearer ${await gateway.login()}`)
  const listed = async (): Promise<string[]> => (await identity.listGrants(userId)).filter(({ clientId }) => clientId === 'portcullis-browser').map(({ id }) => id)
  const [first = '', ...rest] = await listed()
  t.equal(rest.length, 1)

  const browser = openBrowser(url)
  const page = await browser.submit(await browser.open(`${url}/account`), { username: 'admin', password: adminPassword })
  t.match(page.html, 'Login in a browser, to let programs in')
  for (const each of [older, newer]) t.notMatch(page.html, secretOf(each), 'what the browser keeps is not shown')

  await gateway.addUser('mallory', ['user'])
  const other = openBrowser(url)
  const theirs = await other.submit(await other.open(`${url}/account`), { username: 'mallory', password: 'password of mallory, long enough' })
  t.equal((await press(other, theirs, `/account/grants/${first}/end`)).status, 404, 'nobody else ends them')
  t.match((await press(browser, page, `/account/grants/${first}/end`)).html, 'It is ended')
  t.same(await listed(), rest)
  t.same([await isKnown(older), await isKnown(newer)], [true, false], 'the newest came first')
})

t.test('who logs out on the account page is logged out on the login page of this browser, and of no other', async (t) => {
  const gateway = await startGateway(t)
  const { url } = gateway
  const flow = openFlow(gateway)
  const client = await flow.clientId()
  await gateway.addUser('bo', ['user'])
  const [mine, elsewhere, shared] = [openBrowser(url), openBrowser(url), openBrowser(url)]
  for (const browser of [mine, elsewhere]) await letIn(browser, flow.authorizationUrl(client), 'admin', adminPassword)
  await letIn(shared, flow.authorizationUrl(client), 'bo', 'password of bo, long enough')
  for (const browser of [mine, shared]) {
    const page = await browser.submit(await browser.open(`${url}/account`), { username: 'admin', password: adminPassword })
    t.match((await press(browser, page, '/account/logout')).html, 'You are logged out.')
  }
  t.match((await mine.open(flow.authorizationUrl(client))).html, 'name="password"', 'whoever sits here next is asked for a password')
  t.match((await elsewhere.open(flow.authorizationUrl(client))).html, 'value="allow"')
  t.match((await shared.open(flow.authorizationUrl(client))).html, 'value="allow"', 'the login of another person is theirs to end')
})

async function press (browser: Browser, page: Page, action: string): Promise<Page> {
  const csrf = /name="csrf" value="([^"]*)"/.exec(page.html)?.[1] ?? ''
  return await browser.submit({ ...page, html: '' }, { csrf }, { action: new URL(action, page.url).href })
}

/** What the browser keeps to stay logged in on the login page. */
function secretOf (browser: Browser): string {
  return browser.cookies.get('portcullis /')?.value ?? 'none'
}
