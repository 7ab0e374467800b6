import { createHash } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { chromium } from 'playwright-core'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'

import { adminPassword, startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const PROGRAM = '/usr/bin/chromium'
const SHOTS = join(tmpdir(), 'portcullis-screenshots')

t.test('real Chromium (32)', { skip: existsSync(PROGRAM) ? false : 'there is no Chromium on this machine' }, async (t) => {
  mkdirSync(SHOTS, { recursive: true })
  const gateway = await startGateway(t)
  const browser = await chromium.launch({ executablePath: PROGRAM, args: ['--no-sandbox'] })
  t.teardown(() => browser.close())

  await t.test('a person logs in, allows, and is taken back to a program on this computer', async (t) => {
    const { address, received } = await loopback(t)
    const { page, complaints } = await openPage(t, browser)
    await page.goto(await authorizationUrl(gateway, address))
    t.equal(await page.title(), 'Log in · Portcullis')
    t.equal(await page.evaluate('document.activeElement.id'), 'username', 'typing can start at once')
    await shot(page, 'login')
    await page.keyboard.type('admin')
    await page.keyboard.press('Tab')
    await page.keyboard.type(adminPassword)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: /Let .*Fancy editor/ }).waitFor()
    await shot(page, 'consent')
    const text = await page.innerText('main')
    t.match(text, /Not verified/)
    t.match(text, /A program on this computer/)
    t.match(text, /fixture/)
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByText('back in the app').waitFor()
    t.match(received.at(-1), { code: /.+/, state: 'st', iss: gateway.url })
    t.same(complaints, [], 'the browser had nothing to complain about')
  })

  await t.test('a custom scheme gets the code too', async (t) => {
    const { page } = await openPage(t, browser)
    const asked: string[] = []
    page.on('request', (request) => { if (request.url().startsWith('cursor:')) asked.push(request.url()) })
    await page.goto(await authorizationUrl(gateway, 'cursor://anysphere.cursor-mcp/oauth/callback'))
    await logIn(page, adminPassword)
    t.match(await page.innerText('main'), /An app on this computer \(cursor:\)/)
    // The browser hands the address to the system; what it was told is in the answer to the form.
    const answer = page.waitForResponse((response) => (response.headers()['location'] ?? '').startsWith('cursor://'))
    await page.getByRole('button', { name: 'Allow' }).click({ noWaitAfter: true })
    t.match((await answer).headers()['location'], /^cursor:\/\/anysphere\.cursor-mcp\/oauth\/callback\?code=/)
  })

  await t.test('a wrong password is said in words that a screen reader hears', async (t) => {
    const { address } = await loopback(t)
    const { page } = await openPage(t, browser, 'dark')
    await page.goto(await authorizationUrl(gateway, address))
    await logIn(page, 'not the password at all')
    t.equal(await page.getByRole('alert').innerText(), 'Wrong username or password.')
    t.equal(await page.inputValue('#username'), 'admin', 'the name is kept')
    t.equal(await page.inputValue('#password'), '', 'the password is not')
    t.equal(await page.getAttribute('#password', 'aria-describedby'), 'fault')
    await shot(page, 'wrong-password-dark')
  })

  await t.test('who denies is taken back with access_denied', async (t) => {
    const { address, received } = await loopback(t)
    const { page } = await openPage(t, browser, 'dark')
    await page.goto(await authorizationUrl(gateway, address))
    await logIn(page, adminPassword)
    await page.getByRole('heading', { name: /Let/ }).waitFor()
    await shot(page, 'consent-dark')
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByText('back in the app').waitFor()
    t.match(received.at(-1), { error: 'access_denied', state: 'st', iss: gateway.url })
    t.notOk(received.at(-1)?.['code'])
  })

  await t.test('somebody else can log in instead', async (t) => {
    await gateway.addUser('bo', ['user'])
    const { address, received } = await loopback(t)
    const { page } = await openPage(t, browser)
    await page.goto(await authorizationUrl(gateway, address))
    await logIn(page, adminPassword)
    await page.getByRole('button', { name: /Not admin/ }).click()
    await page.fill('#username', 'bo')
    await page.fill('#password', 'password of bo, long enough')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('heading', { name: /Let/ }).waitFor()
    t.match(await page.innerText('main'), /You are\s+bo/)
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByText('back in the app').waitFor()
    t.match(received.at(-1), { code: /.+/ })
  })

  await t.test('an interaction that has expired says what to do', async (t) => {
    const { address } = await loopback(t)
    const { page } = await openPage(t, browser)
    await page.goto(await authorizationUrl(gateway, address))
    await gateway.database.pool.query("delete from oauth_artifacts where kind = 'oauth.Interaction'")
    await logIn(page, adminPassword)
    t.match(await page.innerText('main'), /expired.*connect again/s)
    await shot(page, 'expired')
  })

  await t.test('the pages fit a telephone and name every control', async (t) => {
    const { address } = await loopback(t)
    const { page } = await openPage(t, browser)
    await page.setViewportSize({ width: 320, height: 640 })
    await page.goto(await authorizationUrl(gateway, address))
    t.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true)
    for (const name of ['User name', 'Password']) t.equal(await page.getByLabel(name).count(), 1, name)
    t.equal(await page.evaluate('document.documentElement.lang'), 'en')
    t.equal(await page.evaluate("document.querySelectorAll('h1').length"), 1)
    await shot(page, 'login-narrow')
  })

  await t.test('a device is connected by its code', async (t) => {
    const { page, complaints } = await openPage(t, browser)
    const client = await register(gateway, [], ['urn:ietf:params:oauth:grant-type:device_code'])
    const device = await (await fetch(`${gateway.url}/oauth/device_authorization`, { method: 'POST', body: new URLSearchParams({ client_id: client, scope: 'mcp' }) })).json() as { user_code: string, verification_uri: string }
    await page.goto(device.verification_uri)
    await shot(page, 'device')
    await page.getByLabel('Code').fill(device.user_code)
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByRole('heading', { name: 'Is this your code?' }).waitFor()
    await shot(page, 'device-compare')
    await page.getByRole('button', { name: 'Continue' }).click()
    await logIn(page, adminPassword)
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByRole('heading', { name: 'Connected' }).waitFor()
    await shot(page, 'device-done')
    t.same(complaints, [])
  })
})

async function openPage (t: Test, browser: Browser, colorScheme: 'light' | 'dark' = 'light'): Promise<{ page: Page, complaints: string[] }> {
  const context = await browser.newContext({ colorScheme, viewport: { width: 900, height: 760 } })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(`${message.text()} ${message.location().url}`) })
  page.on('pageerror', (error) => complaints.push(error.message))
  return { page, complaints }
}

async function logIn (page: Page, password: string): Promise<void> {
  await page.fill('#username', 'admin')
  await page.fill('#password', password)
  await page.getByRole('button', { name: 'Log in' }).click()
}

async function shot (page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(SHOTS, `${name}.png`) })
}

/** A program that listens for its code on this computer. */
async function loopback (t: Test): Promise<{ address: string, received: Record<string, string>[] }> {
  const received: Record<string, string>[] = []
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://127.0.0.1')
    if (url.pathname === '/callback') received.push(Object.fromEntries(url.searchParams))
    response.setHeader('content-type', 'text/html').end('<link rel="icon" href="data:,"><p>back in the app</p>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/callback`, received }
}

async function register (gateway: TestGateway, redirects: string[], grants?: string[]): Promise<string> {
  const body = { client_name: 'Fancy editor', redirect_uris: redirects, ...(grants !== undefined && { grant_types: grants, response_types: [] }) }
  const response = await fetch(`${gateway.url}/oauth/register`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return (await response.json() as { client_id: string }).client_id
}

async function authorizationUrl (gateway: TestGateway, redirect: string): Promise<string> {
  const query = {
    client_id: await register(gateway, [redirect]),
    response_type: 'code',
    redirect_uri: redirect,
    scope: 'mcp offline_access',
    state: 'st',
    code_challenge: createHash('sha256').update('v'.repeat(43)).digest('base64url'),
    code_challenge_method: 'S256',
    resource: `${gateway.url}/mcp`,
    prompt: 'consent',
  }
  return `${gateway.url}/oauth/authorize?${new URLSearchParams(query).toString()}`
}
