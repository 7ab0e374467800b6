import t from 'tap'

import { openBrowser } from './browser.ts'
import type { Browser, Page } from './browser.ts'
import { openOffice } from './company.ts'
import { openFlow } from './flow.ts'

t.test('who has no password here logs in to the account page at their company (40)', async (t) => {
  const { company, gateway } = await openOffice(t)
  const { url } = gateway
  const flow = openFlow(gateway)
  const visit = (): Browser => openBrowser(url, company.issuer)
  const toProvider = async (browser: Browser): Promise<Page> => await browser.submit(await browser.open(`${url}/account`), {}, { action: `${url}/account/federate/acme` })
  const sessions = async (): Promise<number> => Number((await gateway.database.pool.query<{ count: string }>("select count(*) from oauth_artifacts where kind = 'AccountSession'")).rows[0]?.count)

  await t.test('sees what they let in and ends it; there is no password to change', async (t) => {
    const browser = visit()
    const anonymous = browserCookie(browser)
    const page = await browser.submit(await toProvider(browser), {})
    t.equal(page.url, `${url}/account`)
    t.match(page.html, 'You are <strong>ann</strong>')
    t.notMatch(page.html, 'Change your password')
    t.not(browserCookie(browser), anonymous, 'the cookie of before the login is no login (fixation)')
    const { identity } = gateway.gateway.app
    const [row] = (await gateway.database.pool.query<{ id: string, username: string }>("select id, username from users where username = 'ann'")).rows
    const token = await identity.createToken({ user: { id: row?.id ?? '', name: 'ann' }, name: 'laptop', source: 'test' })
    t.equal(await flow.status(token.token), 200)
    const csrf = /name="csrf" value="([^"]*)"/.exec(page.html)?.[1] ?? ''
    t.match((await browser.submit({ ...page, html: '' }, { csrf }, { action: `${url}/account/tokens/${token.id}/revoke` })).html, 'The token is revoked')
    t.equal(await flow.status(token.token), 401)
    const made = await browser.submit({ ...page, html: '' }, { csrf, name: 'build server', days: '7' }, { action: `${url}/account/tokens` })
    t.equal(await flow.status(/<code>(portcullis_pat_[\w-]+)<\/code>/.exec(made.html)?.[1] ?? ''), 200, 'and makes a token, for which no password is asked that they do not have')
    const long = await browser.submit({ ...page, html: '' }, { csrf, name: 'for a year', days: '365' }, { action: `${url}/account/tokens` })
    t.match([long.status, long.html], [400, /at most 90 days/], 'but none that outlives every login of theirs')
    t.notMatch(long.html, /portcullis_pat_[\w-]{43}/)
    t.equal((await browser.submit({ ...page, html: '' }, { csrf, old: '', new: 'violet cargo mint thirty-one', again: 'violet cargo mint thirty-one' }, { action: `${url}/account/password` })).status, 401, 'nor does the form of it do anything')
  })

  await t.test('only in the browser that began, and only once', async (t) => {
    const before = await sessions()
    const browser = visit()
    const answer = (await browser.submit(await toProvider(browser), {}, { stopBefore: '/login/acme/callback' })).url
    const stranger = visit()
    await toProvider(stranger)
    const stolen = await stranger.open(answer)
    t.equal(stolen.status, 403)
    t.match(stolen.html, /began in another browser/)
    t.equal(await sessions(), before, 'nobody is logged in by it')
    t.match((await browser.open(answer)).html, 'You are <strong>ann</strong>')
    t.equal((await browser.open(answer)).status, 403, 'again')
    t.equal(await sessions(), before + 1)
  })

  await t.test('and not at all without a group that has a role, or when the form was not ours', async (t) => {
    company.person = { ...company.person, groups: ['canteen'] }
    const before = await sessions()
    const browser = visit()
    const page = await browser.submit(await toProvider(browser), {})
    t.equal(page.status, 403)
    t.match(page.html, /role="alert"[^>]*>You are known at Acme/)
    const asked = company.asked.length
    const login = await browser.open(`${url}/account`)
    t.equal((await browser.submit(login, {}, { action: `${url}/account/federate/acme`, headers: { 'sec-fetch-site': 'cross-site' } })).status, 403)
    t.equal((await browser.submit(login, { csrf: 'x' }, { action: `${url}/account/federate/acme` })).status, 403)
    t.equal(company.asked.length, asked)
    t.equal(await sessions(), before)
  })
})

function browserCookie (browser: Browser): string | undefined {
  return [...browser.cookies.values()].find(({ name }) => name === 'portcullis-account')?.value
}
