import t from 'tap'

import { adminPassword, startGateway } from '../support/gateway.ts'
import { letIn, openBrowser } from './browser.ts'
import { openFlow } from './flow.ts'

t.test('attacks on the forms', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const { url } = gateway
  const client = await flow.clientId()

  await t.test('T55: a form that our page did not send is refused (30)', async (t) => {
    const open = async () => {
      const browser = openBrowser(url)
      return { browser, page: await browser.open(flow.authorizationUrl(client)) }
    }
    const right = { username: 'admin', password: adminPassword, do: 'login' }
    const cases: [string, Record<string, string>, Record<string, string>][] = [
      ['no token', { csrf: '' }, {}], ['a foreign token', { csrf: 'x'.repeat(43) }, {}], ['another site', {}, { 'sec-fetch-site': 'cross-site' }], ['a sibling site', {}, { 'sec-fetch-site': 'same-site' }], ['a foreign origin', {}, { origin: 'https://evil.example' }], ['no origin to speak of', {}, { origin: 'null' }],
    ]
    for (const [name, fields, headers] of cases) {
      const { browser, page } = await open()
      t.equal((await browser.submit(page, { ...right, ...fields }, { headers })).status, 403, name)
    }
    const { page } = await open()
    t.equal((await openBrowser(url).submit(page, right)).status, 404, 'without the cookie')
    const other = await open()
    t.equal((await other.browser.submit(page, right)).status, 404, 'with the cookie of another browser')
  })
})

t.test('attacks on the pages', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const { url } = gateway
  const client = await flow.clientId()

  await t.test('the session gets a new name when somebody logs in (31)', async (t) => {
    const browser = openBrowser(url)
    let page = await browser.open(flow.authorizationUrl(client))
    page = await browser.submit(page, { username: 'admin', password: adminPassword, do: 'login' })
    const first = browser.cookies.get('portcullis /')
    t.match(first?.attributes, /httponly/i)
    t.match(first?.attributes, /samesite=lax/i)
    await browser.submit(page, { do: 'allow' })
    t.not(browser.cookies.get('portcullis /')?.value, first?.value, 'and again')

    const [attacker, victim] = [openBrowser(url), openBrowser(url)]
    await attacker.open(`${url}/oauth/device`)
    const planted = attacker.cookies.get('portcullis /')
    t.ok(planted, 'there is a session to plant, signed by us')
    for (const [name, cookie] of attacker.cookies) victim.cookies.set(name, cookie)
    await letIn(victim, flow.authorizationUrl(client), 'admin', adminPassword)
    t.not(victim.cookies.get('portcullis /')?.value, planted?.value)
    t.match((await attacker.open(flow.authorizationUrl(client))).html, 'name="password"', 'whoever planted it is not logged in by it')
  })

  await t.test('every page forbids frames, scripts and caches (32)', async (t) => {
    const browser = openBrowser(url)
    const login = await browser.open(flow.authorizationUrl(client))
    const consent = await browser.submit(login, { username: 'admin', password: adminPassword, do: 'login' })
    for (const page of [login, consent, await browser.open(flow.authorizationUrl('nobody')), await browser.open(`${url}/oauth/device`), await browser.open(`${url}/interaction/nothing`)]) {
      t.match(page.headers.get('content-security-policy'), /default-src 'none'.*frame-ancestors 'none'/)
      t.equal(page.headers.get('x-frame-options'), 'DENY')
      t.equal(page.headers.get('referrer-policy'), 'same-origin')
      t.match(page.headers.get('cache-control'), /no-store/)
      t.notMatch(page.html, /<script|https?:\/\/(?!127\.0\.0\.1)/)
    }
  })

  await t.test('T11: consent is asked for every time, and a name cannot pretend to be the page (33)', async (t) => {
    const hostile = await flow.clientId({ client_name: '<img src=x onerror=alert(1)> "Portcullis"\u202E\u0007 admin\n' })
    const browser = openBrowser(url)
    let page = await browser.open(flow.authorizationUrl(hostile))
    page = await browser.submit(page, { username: 'admin', password: adminPassword, do: 'login' })
    t.match(page.html, /&lt;img src=x onerror=alert\(1\)>? ?|&lt;img/)
    t.notMatch(page.html, '<img')
    t.notMatch(page.html, '\u202E')
    await browser.submit(page, { do: 'allow' })
    const again = await browser.open(flow.authorizationUrl(hostile))
    t.match(again.html, /value="allow"/, 'although the person is logged in and allowed it before')
    const foreign = await browser.open(flow.authorizationUrl(await flow.clientId()))
    t.match(foreign.html, /Not verified/)
    const back = new URL((await browser.submit(foreign, { do: 'deny' })).url)
    t.match(Object.fromEntries(back.searchParams), { error: 'access_denied', state: 'st', iss: url })
    t.equal(new URL((await openBrowser(url).open(flow.authorizationUrl(hostile, { prompt: 'none' }))).url).searchParams.get('error'), 'login_required')
  })
})

t.test('guessing on the login page', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const { url } = gateway
  const client = await flow.clientId()

  await t.test('wrong passwords, unknown names and disabled users look alike on the page (34)', async (t) => {
    await gateway.addUser('eve', ['user'])
    await gateway.disableUser('eve')
    await gateway.database.pool.query("insert into users (username, username_norm, password_hash, password_changed_at) values ('ann', 'ann', null, now())")
    const answers = []
    for (const username of ['admin', 'nobody', 'eve', 'ann']) {
      const browser = openBrowser(url)
      const page = await browser.open(flow.authorizationUrl(client))
      const { status, html } = await browser.submit(page, { username, password: 'wrong password, long enough', do: 'login' })
      answers.push(`${status} ${html.replaceAll(username, 'NAME').replace(/interaction\/[\w-]+/, '').replace(/name="csrf" value="[\w-]+"/, '')}`)
    }
    t.equal(answers[1], answers[0])
    t.equal(answers[2], answers[0])
    t.equal(answers[3], answers[0], 'who only logs in at the company too')
  })
})
