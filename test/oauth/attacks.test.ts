import t from 'tap'

import { adminPassword, startGateway, until } from '../support/gateway.ts'
import { letIn, openBrowser } from './browser.ts'
import { errorOf, openFlow, verifier } from './flow.ts'
import type { Tokens } from './flow.ts'

t.test('attacks on the way to a token', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const { url } = gateway
  const client = await flow.clientId()
  const visit = async (address: string): Promise<{ status: number, location: URL | undefined, text: string }> => {
    const response = await fetch(address, { redirect: 'manual' })
    const location = response.headers.get('location')
    return { status: response.status, location: location === null ? undefined : new URL(location, url), text: await response.text() }
  }

  await t.test('T13: no PKCE, the plain method and a short challenge are refused (19)', async (t) => {
    for (const changes of [{ code_challenge: null, code_challenge_method: null }, { code_challenge: verifier, code_challenge_method: 'plain' }, { code_challenge: verifier, code_challenge_method: null }, { code_challenge: 'short' }]) {
      const { location } = await visit(flow.authorizationUrl(client, changes))
      t.equal(location?.searchParams.get('error'), 'invalid_request', JSON.stringify(changes))
      t.equal(location?.searchParams.get('iss'), url)
      t.equal(location?.searchParams.get('state'), 'st')
    }
    t.equal(await errorOf(await flow.redeem(client, await flow.code(client), { code_verifier: 'w'.repeat(43) })), '400 invalid_grant', 'a wrong verifier')
  })

  await t.test('T12: only a registered redirect is ever followed (20)', async (t) => {
    const web = await flow.clientId({ redirect_uris: ['https://app.example/cb'] })
    const native = [flow.redirect + '/more', 'http://127.0.0.1.evil.example:33418/callback', 'http://evil@127.0.0.1:33418/callback', 'http://localhost:33418/callback', 'https://127.0.0.1:33418/callback', 'http://127.0.0.1:33418/callback?x=1', 'http://127.0.0.1:33418/callback#x', 'javascript:alert(1)']
    const cases: [string, string][] = [...native.map((redirect): [string, string] => [client, redirect]), [web, 'https://app.example:8443/cb'], [web, 'https://app.example/cb/'], [web, 'http://app.example/cb'], [web, 'https://app.example.evil.example/cb']]
    for (const [id, redirect] of cases) {
      const { status, location, text } = await visit(flow.authorizationUrl(id, { redirect_uri: redirect }))
      t.equal(status, 400, redirect)
      t.equal(location, undefined)
      t.match(text, /<h1>This does not work.*Nothing was given to it.*For whoever made the app: redirect_uri/s)
    }
    t.equal((await visit(flow.authorizationUrl(client, { redirect_uri: 'http://127.0.0.1:1/callback' }))).status, 303, 'another port of a loopback address')
    t.equal((await visit(flow.authorizationUrl(client, { redirect_uri: null }))).status, 400, 'none at all')
  })

  await t.test('an unknown client is told so on a page (21)', async (t) => {
    const { status, location, text } = await visit(flow.authorizationUrl('nobody"><script>alert(1)</script>'))
    t.equal(status, 400)
    t.equal(location, undefined)
    t.notMatch(text, '<script>alert')
  })

  await t.test('other response types, request objects and doubled parameters are refused (22)', async (t) => {
    for (const changes of [{ response_type: 'token' }, { response_type: 'id_token' }, { response_type: 'code id_token' }, { request: 'a.b.c' }, { request_uri: 'https://evil.example/r' }]) {
      const { location } = await visit(flow.authorizationUrl(client, { ...changes, nonce: 'n' }))
      const back = location === undefined ? undefined : new URLSearchParams(location.search === '' ? location.hash.slice(1) : location.search)
      t.ok(back?.get('error'), JSON.stringify(changes))
      t.equal(back?.get('iss'), url)
      t.equal(back?.get('state'), 'st')
    }
    for (const doubled of ['state=other', 'client_id=other', 'redirect_uri=https%3A%2F%2Fevil.example%2F']) {
      const { location } = await visit(`${flow.authorizationUrl(client)}&${doubled}`)
      t.notOk(location?.pathname.startsWith('/interaction'), doubled)
      t.notMatch(String(location), 'evil.example')
    }
  })

  await t.test('a resource of somebody else is invalid_target, at every step (23)', async (t) => {
    for (const resource of ['https://evil.example/mcp', `${url}/mcp/../x`, `${url}/mcp.evil`, `${url}/mcp/UPPER`, `${url}/`, `${url}/mcp#x`]) {
      const { location } = await visit(flow.authorizationUrl(client, { resource }))
      t.equal(location?.searchParams.get('error'), 'invalid_target', resource)
    }
    t.equal(await errorOf(await flow.redeem(client, await flow.code(client), { resource: 'https://evil.example/mcp' })), '400 invalid_target')
    t.equal(await errorOf(await flow.refresh(client, (await flow.tokens(client)).refresh_token, { resource: `${url}/mcp/fixture` })), '400 invalid_target')
  })

  await t.test('T17: a token for one endpoint is good at no other (16)', async (t) => {
    const { access_token: token } = await flow.tokens(client, { resource: `${url}/mcp/fixture` })
    t.equal(await flow.status(token, '/mcp/fixture'), 200)
    t.equal(await flow.status(token, '/mcp'), 401)
    t.equal(await flow.status(token, '/mcp/other'), 401)
    const { id_token: idToken = '' } = await flow.tokens(client, { scope: 'openid mcp' })
    t.ok(idToken)
    t.equal(await flow.status(idToken), 401, 'an ID token is not an access token')
  })

  await t.test('a token is looked for in its header alone: not in the address, not in a cookie, under no other scheme (17)', async (t) => {
    const { access_token: token } = await flow.tokens(client)
    const before = gateway.calls().length
    const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text: 'x' } } }
    const basic = Buffer.from(`admin:${adminPassword}`).toString('base64')
    const ways: [name: string, path: string, headers: Record<string, string>][] = [
      ['the address', `/mcp/fixture?access_token=${token}`, {}], ['the address, under another name', `/mcp/fixture?token=${token}`, {}],
      ['the address beside the header', `/mcp/fixture?access_token=${token}`, { authorization: `Bearer ${token}` }],
      ['a cookie', '/mcp/fixture', { cookie: `access_token=${token}; portcullis-account=${token}` }],
      ['Basic', '/mcp/fixture', { authorization: `Basic ${basic}` }], ['DPoP', '/mcp/fixture', { authorization: `DPoP ${token}` }], ['no scheme', '/mcp/fixture', { authorization: token }],
    ]
    for (const [name, path, headers] of ways) {
      const response = await gateway.post(path, undefined, message, headers)
      t.equal(response.status, 401, name)
      t.match(response.headers.get('www-authenticate'), 'resource_metadata=', name)
      t.notMatch(await response.text(), token, `${name}: nothing of it comes back`)
    }
    t.equal(gateway.calls().length, before, 'the upstream was not contacted')
    t.not((await gateway.post('/mcp/fixture', undefined, message, { authorization: `bEaReR ${token}` })).status, 401, 'the scheme in any case')
  })

  await t.test('a code that comes twice ends what came of it, access tokens included (24)', async (t) => {
    const code = await flow.code(client)
    const tokens = await (await flow.redeem(client, code)).json() as Tokens
    t.equal(await flow.status(tokens.access_token), 200)
    t.equal(await errorOf(await flow.redeem(client, code)), '400 invalid_grant')
    t.equal(await flow.status(tokens.access_token), 401)
    t.equal(await errorOf(await flow.refresh(client, tokens.refresh_token)), '400 invalid_grant')
  })

  await t.test('of eight that redeem one code at once, one succeeds (25)', async (t) => {
    const code = await flow.code(client)
    const statuses = await Promise.all(Array.from({ length: 8 }, async () => (await flow.redeem(client, code)).status))
    t.equal(statuses.filter((status) => status === 200).length, 1, statuses.join(' '))
  })

  await t.test('T19: a refresh token that comes back after the grace ends the login at once (26)', async (t) => {
    const first = await flow.tokens(client)
    const second = await (await flow.refresh(client, first.refresh_token)).json() as Tokens
    t.equal(await flow.status(second.access_token), 200)
    await gateway.database.pool.query("update oauth_artifacts set consumed_at = consumed_at - interval '31 seconds' where consumed_at is not null")
    t.equal(await errorOf(await flow.refresh(client, first.refresh_token)), '400 invalid_grant')
    t.equal(await flow.status(second.access_token), 401)
    t.equal(await errorOf(await flow.refresh(client, second.refresh_token)), '400 invalid_grant')
    t.match(await gateway.rows({ kind: 'token', outcome: 'refused' }), [{ detail: { action: 'replay', client } }])
  })

  await t.test('of five that refresh at once inside the grace, all succeed, and the next one too (27)', async (t) => {
    const { refresh_token: token } = await flow.tokens(client)
    const answers = await Promise.all(Array.from({ length: 5 }, async () => await flow.refresh(client, token)))
    t.same(answers.map(({ status }) => status), [200, 200, 200, 200, 200])
    const [one] = answers
    t.equal((await flow.refresh(client, (await one?.json() as Tokens).refresh_token)).status, 200)
  })

  await t.test('another client cannot refresh, and nobody gets more scope (28)', async (t) => {
    const { refresh_token: token } = await flow.tokens(client)
    t.equal(await errorOf(await flow.refresh(await flow.clientId(), token)), '400 invalid_grant')
    t.equal(await errorOf(await flow.refresh(client, token, { scope: 'mcp openid admin' })), '400 invalid_scope')
    t.equal((await flow.refresh(client, token)).status, 200, 'its owner goes on')
  })

  await t.test('a public client acts for nobody by itself, and passwords are not a grant (29)', async (t) => {
    t.match(await errorOf(await flow.token({ grant_type: 'client_credentials', client_id: client })), /^40[01] /)
    t.match(await errorOf(await flow.token({ grant_type: 'password', client_id: client, username: 'admin', password: adminPassword })), /^400 unsupported_grant_type/)
  })

  await t.test('T16, T20: codes, refresh tokens and secrets are stored hashed and logged nowhere', async (t) => {
    const tokens = await flow.tokens(client)
    const code = await flow.code(client)
    const { rows } = await gateway.database.pool.query<{ row: string }>('select row_to_json(a)::text as row from oauth_artifacts a union all select row_to_json(c)::text from oauth_clients c')
    const everything = rows.map(({ row }) => row).join() + gateway.log()
    for (const secret of [tokens.refresh_token, tokens.access_token, code, adminPassword]) t.notOk(everything.includes(secret))
  })
})

t.test('T12: registrations that could hurt somebody are refused (37)', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const bad: [string, Record<string, unknown>, RegExp][] = [
    ['a script', { redirect_uris: ['javascript:alert(1)'] }, /scheme javascript/], ['data', { redirect_uris: ['data:text/html,x'] }, /scheme data/],
    ['plain http', { redirect_uris: ['http://app.example/cb'] }, /use https/], ['a fragment', { redirect_uris: ['https://app.example/cb#x'] }, /fragment/],
    ['a user in the address', { redirect_uris: ['https://me@app.example/cb'] }, /user name/], ['eleven addresses', { redirect_uris: Array.from({ length: 11 }, (_, n) => `https://app.example/${n}`) }, /at most 10/],
    ['no address', { redirect_uris: [] }, /redirect_uris/], ['keys to be fetched', { jwks_uri: 'https://169.254.169.254/' }, /jwks_uri/],
    ['the implicit grant', { grant_types: ['implicit'], response_types: ['token'] }, /grant_types/], ['acting by itself', { grant_types: ['client_credentials'] }, /grant_types/],
    ['an assertion', { token_endpoint_auth_method: 'private_key_jwt' }, /token_endpoint_auth_method/], ['an administrator', { portcullis_vouched: 'yes', grant_types: ['client_credentials'] }, /grant_types/],
  ]
  for (const [name, metadata, sentence] of bad) {
    const response = await flow.register(metadata)
    t.equal(response.status, 400, name)
    t.match(await response.text(), sentence, name)
  }
  t.equal((await flow.register({ client_name: 'x'.repeat(20_000) })).status, 413, '20 kB')
  for (let count = bad.length; count < 20; count++) await flow.register()
  const limited = await flow.register()
  t.equal(limited.status, 429, 'the 21st in an hour')
  t.match(limited.headers.get('retry-after'), /^\d+$/)
})

t.test('T18: what changes about a person acts on the next call of every client (39)', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  await gateway.addUser('bo', ['user'])
  const who = { name: 'bo', password: 'password of bo, long enough' }
  const client = await flow.clientId()
  const tokens = async (): Promise<Tokens> => await (await flow.redeem(client, await flow.code(client, {}, who))).json() as Tokens
  const { access_token: token } = await tokens()
  const names = async (): Promise<string> => await (await gateway.post('/mcp', token, { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} } } }, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' })).text()
  t.match(await names(), /fixture__echo/)
  await gateway.setRoles('bo', [])
  await until(async () => !(await names()).includes('fixture__echo'))
  await gateway.setRoles('bo', ['user'])
  t.equal(await flow.status(token), 200)
  await gateway.disableUser('bo')
  await until(async () => await flow.status(token) === 401)
  t.same(gateway.calls().filter(({ method }) => method === 'tools/call'), [])
})

t.test('the token of a program opens nothing but calls, whoever the person is', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const { access_token: token } = await flow.tokens(await flow.clientId())
  for (const [method, path] of [['GET', '/auth/tokens'], ['POST', '/auth/tokens'], ['GET', '/metrics'], ['GET', '/auth/grants']] as const) {
    const response = await fetch(gateway.url + path, { method, headers: { authorization: `Bearer ${token}`, ...(method === 'POST' && { 'content-type': 'application/json' }) }, ...(method === 'POST' && { body: '{"name":"x"}' }) })
    t.equal(response.status, 403, path)
  }
})

t.test('letting in is on the record, and so is refusing', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const client = await flow.clientId()
  await letIn(openBrowser(gateway.url), flow.authorizationUrl(client), 'admin', adminPassword)
  t.match(await gateway.rows({ kind: 'token' }), [{ detail: { action: 'register client', client } }, { principal: 'admin', detail: { action: 'allow client', client, redirect: flow.redirect } }])
  t.match(await gateway.rows({ kind: 'login' }), [{ principal: 'admin', outcome: 'ok' }])
})

t.test('a person sees what they have let in, and ends it', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const client = await flow.clientId({ client_name: 'Fancy editor' })
  const older = await flow.clientId()
  await flow.tokens(older, { resource: `${gateway.url}/mcp/fixture` })
  const tokens = await flow.tokens(client)
  const headers = { authorization: `Bearer ${await gateway.login()}` }
  const list = async (): Promise<{ id: string, client_id: string, name: string }[]> => (await (await fetch(`${gateway.url}/auth/grants`, { headers })).json() as { grants: { id: string, client_id: string, name: string }[] }).grants
  const mine = (await list()).find((grant) => grant.client_id === client)
  t.match(mine, { name: 'Fancy editor', started_at: /^20/, last_used_at: /^20/, expires_at: /^20/ })
  t.ok((await list()).some(({ name }) => name === 'login with the password'))
  await gateway.database.pool.query("update oauth_artifacts set payload = jsonb_set(payload, '{iat}', to_jsonb((payload ->> 'iat')::float8 - 60)) where client_id = $1", [older])
  t.same((await list()).map((grant) => grant.client_id).filter((id) => id === client || id === older), [client, older], 'newest first')
  const end = async (id: string): Promise<number> => (await fetch(`${gateway.url}/auth/grants/${id}`, { method: 'DELETE', headers })).status
  t.equal(await end('of-somebody-else'), 404)
  t.equal(await end(mine?.id ?? ''), 204)
  t.equal(await flow.status(tokens.access_token), 401)
  t.equal(await errorOf(await flow.refresh(client, tokens.refresh_token)), '400 invalid_grant')
  t.notOk((await list()).some((grant) => grant.client_id === client))
})

t.test('a client ends its own login with either of its tokens, and nobody else can', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const client = await flow.clientId()
  const revoke = async (token: string, id: string): Promise<number> => (await fetch(`${gateway.url}/oauth/revoke`, { method: 'POST', body: new URLSearchParams({ token, client_id: id }) })).status
  for (const kind of ['access_token', 'refresh_token'] as const) {
    const tokens = await flow.tokens(client)
    await revoke(tokens[kind], await flow.clientId())
    t.equal(await flow.status(tokens.access_token), 200, 'another client tried')
    t.equal(await revoke(tokens[kind], client), 200)
    t.equal(await flow.status(tokens.access_token), 401, kind)
    t.equal(await errorOf(await flow.refresh(client, tokens.refresh_token)), '400 invalid_grant')
  }
})
