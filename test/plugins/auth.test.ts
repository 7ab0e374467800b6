import type { LightMyRequestResponse } from 'fastify'
import Fastify from 'fastify'
import t from 'tap'

import { auth } from '../../plugins/auth/index.ts'
import { openGate, PASSWORD, PUBLIC_URL } from '../identity/harness.ts'

const A_JSON_OBJECT = /^The body must be a JSON object\.$/
const METADATA = `${PUBLIC_URL}/.well-known/oauth-protected-resource/mcp`

t.test('the /auth scope', async (t) => {
  const gate = await openGate(t)
  const { app, events } = gate
  let sender = 0
  /** Each from an address of its own, so that only the tests of the limit meet it. */
  const post = async (url: string, payload: unknown, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> => {
    sender += 1
    return await app.inject({ method: 'POST', url, headers: { 'content-type': 'application/json', ...headers }, payload: typeof payload === 'string' ? payload : JSON.stringify(payload), remoteAddress: `198.51.100.${sender}` })
  }
  const pair = async (): Promise<{ access_token: string, refresh_token: string }> => (await post('/auth/login', { username: 'admin', password: PASSWORD })).json()
  const bearer = async (): Promise<Record<string, string>> => ({ authorization: `Bearer ${(await pair()).access_token}` })

  await t.test('login answers a pair, not to be cached', async (t) => {
    const reply = await post('/auth/login', { username: 'admin', password: PASSWORD })
    t.equal(reply.statusCode, 200)
    t.equal(reply.headers['cache-control'], 'no-store')
    const body = reply.json<Record<string, unknown>>()
    t.same(Object.keys(body).sort(), ['access_token', 'expires_in', 'refresh_token', 'scope', 'token_type'])
    t.match(body, { token_type: 'Bearer', expires_in: 900 })
    t.match(events.at(-1), { kind: 'login', outcome: 'ok', source: `198.51.100.${sender}` })
  })

  await t.test('login answers the same bytes for a known and an unknown name, record id aside', async (t) => {
    const replies = [await post('/auth/login', { username: 'admin', password: 'wrong-password-1' }), await post('/auth/login', { username: 'nobody', password: 'wrong-password-1' })]
    for (const reply of replies) {
      t.equal(reply.statusCode, 401)
      t.match(reply.json(), { error: 'invalid_grant', error_description: 'Wrong username or password.', code: 'PORTCULLIS_BAD_CREDENTIALS', record: /^record-\d+$/ })
      t.equal(reply.headers['cache-control'], 'no-store')
      t.match(reply.headers['www-authenticate'], /^Bearer /)
    }
    const bytes = replies.map((reply) => reply.body.replace(/record-\d+/, 'record'))
    t.equal(bytes[0], bytes[1])
  })

  const bad: [string, unknown, RegExp, Record<string, string>?][] = [
    ['no password', { username: 'admin' }, /^The body needs the member "password"\.$/],
    ['a member too many', { username: 'admin', password: 'x', otp: 1 }, /member that is not known here: "otp"/],
    ['a number for a password', { username: 'admin', password: 123456789012 }, /^"password" in the body must be a string\.$/],
    ['an object for a name', { username: { $ne: null }, password: 'x' }, /^"username" in the body must be a string\.$/],
    ['an empty name', { username: '', password: 'x' }, /^"username" in the body must not be empty\.$/],
    ['an endless password', { username: 'admin', password: 'x'.repeat(2000) }, /^"password" in the body must have at most 1024 characters\.$/],
    ['a list', [], A_JSON_OBJECT], ['a word', '"admin"', A_JSON_OBJECT], ['nothing', 'null', A_JSON_OBJECT],
    ['broken JSON', '{"username":', /not valid JSON/], ['an empty body', '', /not valid JSON/],
    ['a prototype', '{"username":"admin","password":"x","__proto__":{"a":1}}', /not valid JSON|cannot be read/],
    ['a form', 'username=admin&password=secret-in-a-form', /application\/json/, { 'content-type': 'application/x-www-form-urlencoded' }],
    ['text', '{"username":"admin","password":"x"}', /application\/json/, { 'content-type': 'text/plain' }],
  ]
  for (const [name, payload, sentence, headers] of bad) {
    await t.test(`login refuses ${name} and says what it wants`, async (t) => {
      const reply = await post('/auth/login', payload, headers)
      t.ok([400, 415].includes(reply.statusCode), String(reply.statusCode))
      t.match(reply.json<{ error_description: string }>().error_description, sentence)
      t.match(reply.json(), { error: 'invalid_request', code: /^PORTCULLIS_/ })
      t.notMatch(reply.body, /secret-in-a-form|123456789012|xxxxx/)
    })
  }

  await t.test('bodies beyond 16 KiB are refused', async (t) => {
    const reply = await post('/auth/login', { username: 'admin', password: 'x'.repeat(17_000) })
    t.equal(reply.statusCode, 413)
    t.match(reply.json(), { code: 'PORTCULLIS_BODY_TOO_LARGE' })
  })

  await t.test('login is limited to ten a minute from one address, which is recorded', async (t) => {
    const from = async (remoteAddress: string): Promise<LightMyRequestResponse> => await app.inject({ method: 'POST', url: '/auth/login', payload: { username: 'guess', password: 'wrong-password-1' }, remoteAddress })
    for (let n = 0; n < 10; n++) t.equal((await from('203.0.113.9')).statusCode, 401)
    const reply = await from('203.0.113.9')
    t.equal(reply.statusCode, 429)
    t.match(reply.headers['retry-after'], /^\d+$/)
    t.match(reply.json(), { error: 'slow_down', code: 'PORTCULLIS_TOO_MANY_REQUESTS', error_description: /Try again in \d+ seconds/ })
    t.match(events.at(-1), { kind: 'login', outcome: 'limited', source: '203.0.113.9', code: 'PORTCULLIS_TOO_MANY_REQUESTS' })
    t.equal((await from('203.0.113.10')).statusCode, 401, 'another address goes on')
  })

  await t.test('refresh answers a new pair; a bad token gets one text', async (t) => {
    const first = await pair()
    const reply = await post('/auth/refresh', { refresh_token: first.refresh_token })
    t.equal(reply.statusCode, 200)
    t.not(reply.json<typeof first>().refresh_token, first.refresh_token)
    const refused = await post('/auth/refresh', { refresh_token: first.refresh_token.slice(0, -1) })
    t.equal(refused.statusCode, 401)
    t.match(refused.json(), { error: 'invalid_token', error_description: /Log in again/ })
    t.notMatch(refused.body, first.refresh_token.slice(14, 30))
  })

  await t.test('logout ends the login at once', async (t) => {
    const mine = await pair()
    const headers = { authorization: `Bearer ${mine.access_token}` }
    t.equal((await app.inject({ method: 'POST', url: '/auth/logout', headers })).statusCode, 204)
    const after = await app.inject({ url: '/auth/tokens', headers })
    t.equal(after.statusCode, 401)
    t.match(after.headers['www-authenticate'], /error="invalid_token"/)
    t.equal((await post('/auth/refresh', { refresh_token: mine.refresh_token })).statusCode, 401)
    t.match(events.filter(({ kind }) => kind === 'logout').length, 1)
  })

  await t.test('a request without a token is challenged before its body is looked at, without error=', async (t) => {
    for (const [method, url] of [['GET', '/auth/tokens'], ['POST', '/auth/tokens'], ['DELETE', '/auth/tokens/x'], ['POST', '/auth/password'], ['POST', '/auth/logout']] as const) {
      const reply = await app.inject({ method, url, ...(method === 'POST' && url !== '/auth/logout' && { payload: '{', headers: { 'content-type': 'application/json' } }) })
      t.equal(reply.statusCode, 401, `${method} ${url}`)
      t.equal(reply.headers['www-authenticate'], `Bearer resource_metadata="${METADATA}", scope="mcp"`)
      t.match(reply.json(), { error: 'unauthorized', code: 'PORTCULLIS_UNAUTHENTICATED' })
    }
  })

  await t.test('a token in the URL or as Basic is refused with a sentence', async (t) => {
    const { access_token: token } = await pair()
    for (const name of ['access_token', 'token', 'api_key']) {
      const reply = await app.inject({ url: `/auth/tokens?${name}=${token}`, headers: await bearer() })
      t.equal(reply.statusCode, 401)
      t.match(reply.json(), { error_description: /token in the URL/ })
      t.notMatch(reply.body, token.slice(0, 20))
    }
    const basic = await app.inject({ url: '/auth/tokens', headers: { authorization: `Basic ${Buffer.from(`admin:${PASSWORD}`).toString('base64')}` } })
    t.equal(basic.statusCode, 401)
    t.match(basic.json(), { error_description: /Bearer/ })
  })

  await t.test('personal access tokens are made, listed and revoked by their owner', async (t) => {
    const headers = await bearer()
    const made = await post('/auth/tokens', { name: 'laptop', scopes: ['files/*'], days: 7 }, headers)
    t.equal(made.statusCode, 201)
    const { id, token } = made.json<{ id: string, token: string }>()
    t.match(made.json(), { name: 'laptop', scopes: ['files/*'], token: /^portcullis_pat_/, prefix: token.slice(0, 21) })
    const listed = await app.inject({ url: '/auth/tokens', headers })
    t.match(listed.json(), { tokens: [{ id, name: 'laptop', last_used_at: null }] })
    t.notMatch(listed.body, token.slice(22, 40))
    const own = { authorization: `Bearer ${token}` }
    for (const reply of [await app.inject({ url: '/auth/tokens', headers: own }), await post('/auth/tokens', { name: 'more' }, own), await post('/auth/password', { old: PASSWORD, new: PASSWORD }, own), await app.inject({ method: 'POST', url: '/auth/logout', headers: own })]) {
      t.equal(reply.statusCode, 403, 'a token makes no credentials')
      t.match(reply.json(), { error: 'access_denied', code: 'PORTCULLIS_FORBIDDEN' })
    }
    t.equal((await app.inject({ method: 'DELETE', url: `/auth/tokens/${id}`, headers })).statusCode, 204)
    t.equal((await app.inject({ method: 'DELETE', url: `/auth/tokens/${id}`, headers })).statusCode, 404)
    t.equal((await app.inject({ url: '/auth/tokens', headers: own })).statusCode, 401)
    const bad: [object, string | RegExp][] = [
      [{}, 'The body needs the member "name".'],
      [{ name: 'x', days: 0 }, '"days" in the body must be at least 1.'],
      [{ name: 'x', days: 366 }, '"days" in the body must be at most 365.'],
      [{ name: 'x', days: '7' }, '"days" in the body must be a whole number.'],
      [{ name: 'x', scopes: 'files/*' }, '"scopes" in the body must be an array or null.'],
      [{ name: 'x', scopes: ['files/*', 7] }, '"scopes.1" in the body must be a string.'],
      [{ name: 'x', scopes: Array(51).fill('files/*') }, '"scopes" in the body must have at most 50 entries.'],
      [{ name: 'x', scopes: ['files'] }, /Scope 1 is not a pattern/],
      [{ name: 'x', admin: true }, 'The body has a member that is not known here: "admin".'],
    ]
    for (const [body, sentence] of bad) {
      const refused = await post('/auth/tokens', body, headers)
      t.match([refused.statusCode, refused.json()], [400, { code: 'PORTCULLIS_INVALID_REQUEST', error_description: sentence }], JSON.stringify(body))
    }
  })

  await t.test('the password is changed by its owner, who gets a new pair', async (t) => {
    const headers = await bearer()
    t.equal((await post('/auth/password', { old: 'wrong-password-1', new: 'violet-cargo-mint-31' }, headers)).statusCode, 401)
    const weak = await post('/auth/password', { old: PASSWORD, new: 'password1234' }, headers)
    t.equal(weak.statusCode, 400)
    t.notMatch(weak.body, 'password1234')
    const changed = await post('/auth/password', { old: PASSWORD, new: 'violet-cargo-mint-31' }, headers)
    t.equal(changed.statusCode, 200)
    t.equal((await app.inject({ url: '/auth/tokens', headers })).statusCode, 401)
    t.equal((await app.inject({ url: '/auth/tokens', headers: { authorization: `Bearer ${changed.json<{ access_token: string }>().access_token}` } })).statusCode, 200)
  })

  await t.test('an unknown address and a wrong method get JSON that names the right ones', async (t) => {
    for (const [method, url] of [['GET', '/auth/login'], ['POST', '/auth/nothing'], ['PUT', '/auth/tokens']] as const) {
      const reply = await app.inject({ method, url })
      t.equal(reply.statusCode, 404)
      t.match(reply.json(), { error: 'not_found', error_description: /POST \/auth\/login/ })
    }
  })

  await t.test('no event holds a password or a token', (t) => {
    t.notMatch(JSON.stringify(events), /plum-harbour|violet-cargo|wrong-password|eyJ|portcullis_rt_|portcullis_pat_[\w-]{8}/)
    t.end()
  })
})

t.test('the /auth scope does not start without the rate limiter', async (t) => {
  const { identity } = await openGate(t)
  const app = Fastify()
  t.teardown(async () => await app.close())
  await t.rejects(async () => { await app.register(auth, { identity, config: { server: { publicUrl: PUBLIC_URL } }, audit: () => undefined }) }, { message: /rate-limit/ })
})

t.test('what clients probe', async (t) => {
  const { app } = await openGate(t)
  const hostile = { host: 'evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' }

  await t.test('is answered with the metadata of the protected resource, never from the Host header', async (t) => {
    for (const [path, resource] of [['', '/mcp'], ['/mcp', '/mcp'], ['/mcp/files', '/mcp/files'], ['/mcp/never-heard-of', '/mcp/never-heard-of']]) {
      const reply = await app.inject({ url: `/.well-known/oauth-protected-resource${path ?? ''}`, headers: hostile })
      t.equal(reply.statusCode, 200)
      t.same(reply.json(), { resource: `${PUBLIC_URL}${resource ?? ''}`, resource_name: 'Portcullis', authorization_servers: [PUBLIC_URL], bearer_methods_supported: ['header'], scopes_supported: ['mcp'] })
      t.equal(reply.headers['access-control-allow-origin'], '*')
    }
    const reply = await app.inject({ url: '/.well-known/oauth-protected-resource/mcp/%22evil', headers: hostile })
    t.equal(reply.statusCode, 404)
    t.notMatch(reply.body, 'evil')
  })

  await t.test('gets the public keys', async (t) => {
    const reply = await app.inject('/oauth/jwks')
    t.match(reply.json(), { keys: [{ kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig' }] })
    t.notMatch(reply.body, '"d"')
  })
})

t.test('request.jwtVerify() of any route honours the deny-list', async (t) => {
  const { app, identity } = await openGate(t)
  app.get('/checked', async (request) => {
    await request.jwtVerify()
    return 'in'
  })
  const { access_token: token } = await identity.login('admin', PASSWORD, 'x')
  const headers = { authorization: `Bearer ${token}` }
  t.equal((await app.inject({ url: '/checked', headers })).statusCode, 200)
  t.equal((await app.inject({ url: '/checked', headers })).statusCode, 200)
  await identity.logout(headers.authorization, 'x')
  t.equal((await app.inject({ url: '/checked', headers })).statusCode, 401)
})
