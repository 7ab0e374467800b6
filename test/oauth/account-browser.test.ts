import { existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { chromium } from 'playwright-core'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'

import { adminPassword, startGateway } from '../support/gateway.ts'
import { openFlow } from './flow.ts'

const PROGRAM = '/usr/bin/chromium'
const SHOTS = join(tmpdir(), 'portcullis-screenshots')
const NEW_PASSWORD = 'violet cargo mint thirty-one'

t.test('the account page in real Chromium', { skip: existsSync(PROGRAM) ? false : 'there is no Chromium on this machine' }, async (t) => {
  mkdirSync(SHOTS, { recursive: true })
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const { identity } = gateway.gateway.app
  const own = await gateway.login()
  const admin = await identity.authenticate(`Bearer ${own}`)
  const tokens = await flow.tokens(await flow.clientId({ client_name: 'Fancy editor' }), { resource: `${gateway.url}/mcp/fixture` })
  const pat = await identity.createToken({ user: admin, name: 'laptop', scopes: ['fixture/echo'], source: 'test' })
  const browser = await chromium.launch({ executablePath: PROGRAM, args: ['--no-sandbox'] })
  t.teardown(() => browser.close())
  const { page, complaints } = await openPage(t, browser, 'light')

  await t.test('a person logs in with the keyboard alone', async () => {
    await page.goto(`${gateway.url}/account`)
    await shot(page, 'account-login')
    await page.keyboard.type('admin')
    await page.keyboard.press('Tab')
    await page.keyboard.type(adminPassword)
    await page.keyboard.press('Enter')
    await page.getByText('You are admin').waitFor()
    await shot(page, 'account')
  })

  await t.test('every part has a heading, and every button says what it ends', async (t) => {
    for (const name of ['Programs that you let in', 'Logins', 'Personal access tokens', 'Make a personal access token', 'Change your password']) t.equal(await page.getByRole('region', { name }).getByRole('heading', { name }).count(), 1, name)
    for (const name of ['Disconnect Fancy editor', 'Revoke laptop', 'End Login to the account pages', 'End Login with the password']) t.equal(await page.getByRole('button', { name }).count(), 1, name)
    for (const name of ['Password now', 'New password', 'New password once more']) t.equal(await page.getByLabel(name, { exact: true }).count(), 1, name)
    t.equal(await page.evaluate("document.querySelectorAll('h1').length"), 1)
  })

  await t.test('a program and a token are ended with a button each', async (t) => {
    await page.getByRole('button', { name: 'Disconnect Fancy editor' }).click()
    await page.getByRole('status').filter({ hasText: 'It is ended' }).waitFor()
    t.equal(await flow.status(tokens.access_token, '/mcp/fixture'), 401)
    await page.getByRole('button', { name: 'Revoke laptop' }).press('Enter')
    await page.getByRole('status').filter({ hasText: 'The token is revoked' }).waitFor()
    t.equal(await flow.status(pat.token), 401)
    await shot(page, 'account-ended')
  })

  await t.test('a token is made and read off the page', async (t) => {
    await page.getByLabel('What it is for').fill('build server')
    await page.getByLabel('Tools it may call').fill('fixture/echo')
    await page.getByLabel('It ends after').selectOption('30 days')
    await page.getByRole('button', { name: 'Make the token' }).click()
    await page.getByRole('status').filter({ hasText: 'This is build server' }).waitFor()
    t.equal(await flow.status(await page.locator('.secret code').innerText(), '/mcp/fixture'), 200)
    await shot(page, 'account-token')
  })

  await t.test('the password is changed, and a wrong one is said in words that a screen reader hears', async (t) => {
    const change = async (old: string): Promise<void> => {
      for (const [label, value] of [['Password now', old], ['New password', NEW_PASSWORD], ['New password once more', NEW_PASSWORD]] as const) await page.getByLabel(label, { exact: true }).fill(value)
      await page.getByRole('button', { name: 'Change password' }).click()
    }
    await change('not the password at all')
    t.match(await page.getByRole('alert').innerText(), /Nothing was changed/)
    t.match(page.url(), /#change$/, 'and the page stands where the form is')
    await shot(page, 'account-wrong-password')
    t.equal(await flow.status(own), 200)
    await change(adminPassword)
    await page.getByRole('status').filter({ hasText: 'Your password is changed' }).waitFor()
    t.equal(await flow.status(own), 401, 'the other login has ended')
    t.same(complaints.filter((text) => !text.includes('401')), [], 'the browser had nothing to complain about but the wrong password')
  })

  await t.test('it fits a telephone, in the dark too', async (t) => {
    await identity.createToken({ user: admin, name: 'a token with a name as long as names may be, which is 64 signs.', scopes: ['fixture/a-tool-whose-name-is-long', 'fixture/echo'], source: 'test' })
    const { page: small } = await openPage(t, browser, 'dark')
    await small.setViewportSize({ width: 320, height: 640 })
    await small.goto(`${gateway.url}/account`)
    await small.getByLabel('User name').fill('admin')
    await small.getByLabel('Password').fill(NEW_PASSWORD)
    await small.getByRole('button', { name: 'Log in' }).click()
    await small.getByText('You are admin').waitFor()
    t.equal(await small.evaluate('document.documentElement.scrollWidth <= innerWidth'), true)
    await shot(small, 'account-narrow-dark')
    await small.getByRole('button', { name: 'Log out' }).click()
    await small.getByText('You are logged out.').waitFor()
    await shot(small, 'account-logged-out-dark')
  })
})

async function openPage (t: Test, browser: Browser, colorScheme: 'light' | 'dark'): Promise<{ page: Page, complaints: string[] }> {
  const context = await browser.newContext({ colorScheme, viewport: { width: 900, height: 760 } })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(`${message.text()} ${message.location().url}`) })
  page.on('pageerror', (error) => complaints.push(error.message))
  return { page, complaints }
}

async function shot (page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true })
}
