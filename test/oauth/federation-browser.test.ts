import { existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { chromium } from 'playwright-core'
import t from 'tap'

import { openOffice } from './company.ts'
import { openFlow } from './flow.ts'

const PROGRAM = '/usr/bin/chromium'
const SHOTS = join(tmpdir(), 'portcullis-screenshots')

t.test('a login at the company in real Chromium (40)', { skip: existsSync(PROGRAM) ? false : 'there is no Chromium on this machine' }, async (t) => {
  mkdirSync(SHOTS, { recursive: true })
  const { company, gateway } = await openOffice(t)
  const flow = openFlow(gateway)
  const clientId = await flow.clientId({ client_name: 'Fancy editor' })
  const browser = await chromium.launch({ executablePath: PROGRAM, args: ['--no-sandbox'] })
  t.teardown(() => browser.close())
  const page = await (await browser.newContext({ viewport: { width: 900, height: 760 } })).newPage()
  const complaints: string[] = []
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()) })
  page.on('pageerror', (error) => complaints.push(error.message))

  await t.test('the button leads to the provider and back to the consent, cookies and all', async (t) => {
    await page.goto(flow.authorizationUrl(clientId))
    await page.screenshot({ path: join(SHOTS, 'federation-login.png') })
    t.equal(await page.evaluate('document.activeElement.id'), 'username', 'who has a password here can type at once')
    await page.getByRole('button', { name: 'Log in with Acme' }).press('Enter')
    await page.getByRole('heading', { name: 'Acme' }).waitFor()
    t.match(page.url(), company.issuer)
    await page.getByRole('button', { name: 'Go on as ann-1' }).click()
    await page.getByRole('heading', { name: /Let .*Fancy editor/ }).waitFor()
    t.match(await page.innerText('main'), /You are\s+ann/)
    await page.screenshot({ path: join(SHOTS, 'federation-consent.png') })
    t.same(complaints, [], 'the browser had nothing to complain about')
  })

  await t.test('the account page takes the same way, and has no password to change', async (t) => {
    await page.goto(`${gateway.url}/account`)
    await page.screenshot({ path: join(SHOTS, 'federation-account-login.png') })
    await page.getByRole('button', { name: 'Log in with Acme' }).click()
    // The provider knows the person from before.
    await page.getByText('You are ann').waitFor()
    t.equal(await page.getByRole('heading', { name: 'Change your password' }).count(), 0)
    await page.screenshot({ path: join(SHOTS, 'federation-account.png') })
    t.same(complaints, [])
  })

  await t.test('what was refused is said in words that a screen reader hears, on a small screen too', async (t) => {
    company.person = { ...company.person, groups: [] }
    await page.setViewportSize({ width: 320, height: 640 })
    await page.goto(`${gateway.url}/account`)
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('button', { name: 'Log in with Acme' }).click()
    t.match(await page.getByRole('alert').innerText(), /none of your groups/)
    t.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true)
    await page.screenshot({ path: join(SHOTS, 'federation-refused.png'), fullPage: true })
  })
})
