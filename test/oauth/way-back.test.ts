import t from 'tap'

import { adminPassword, startGateway } from '../support/gateway.ts'
import { openBrowser } from './browser.ts'
import { openFlow } from './flow.ts'

/** What a browser accepts when somebody types an address or loads a page anew. */
const headers = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }

t.test('a browser gets the page at the address of a form that was refused, and at that of the gateway', async (t) => {
  const gateway = await startGateway(t)
  const { url } = gateway

  await t.test('the account page, or its login', async (t) => {
    const browser = openBrowser(url)
    const login = await browser.open(`${url}/account`)
    const wrong = await browser.submit(login, { username: 'admin', password: 'wrong-password-1' })
    t.match(wrong, { status: 401, url: `${url}/account/login` }, 'the address bar shows where the form went')
    const addresses = ['/', '/account/', '/account/login', '/account/tokens', '/account/password', '/account/logout', '/account/grants/x/end']
    for (const path of addresses) t.match(await browser.open(url + path, { headers }), { status: 200, url: `${url}/account`, html: /name="password"/ }, path)
    await browser.submit(wrong, { username: 'admin', password: adminPassword })
    for (const path of addresses) t.match(await browser.open(url + path, { headers }), { status: 200, url: `${url}/account`, html: /You are <strong>admin</ }, `${path}, logged in`)
  })

  await t.test('the login that a program asked for', async (t) => {
    const flow = openFlow(gateway)
    const browser = openBrowser(url)
    const asked = await browser.open(flow.authorizationUrl(await flow.clientId()))
    const wrong = await browser.submit(asked, { username: 'admin', password: 'wrong-password-1', do: 'login' })
    t.match(wrong, { status: 401, url: `${asked.url}/login` })
    t.match(await browser.open(wrong.url, { headers }), { status: 200, url: asked.url, html: /name="password"/ })
    t.match(await openBrowser(url).open(wrong.url, { headers }), { status: 404, url: asked.url, html: /belongs to another browser/ }, 'another browser gets nothing by it')
  })

  await t.test('a program is told that nothing is there', async (t) => {
    for (const path of ['/', '/account/tokens', '/interaction/x/login']) {
      for (const accept of ['*/*', 'application/json']) {
        const response = await fetch(url + path, { redirect: 'manual', headers: { accept } })
        t.match([response.status, response.headers.get('content-type'), await response.json()], [404, /^application\/json/, { error: 'not_found', code: 'PORTCULLIS_NOT_FOUND' }], `${path} as ${accept}`)
      }
    }
  })
})
