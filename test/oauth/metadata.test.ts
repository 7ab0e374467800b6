import t from 'tap'

import { startGateway } from '../support/gateway.ts'
import { letIn, openBrowser } from './browser.ts'
import { openFlow } from './flow.ts'
import { adminPassword } from '../support/gateway.ts'

t.test('what clients find before they log in', async (t) => {
  const gateway = await startGateway(t)
  const { url } = gateway
  const json = async (path: string, headers: Record<string, string> = {}): Promise<Record<string, unknown>> => await (await fetch(url + path, { headers })).json() as Record<string, unknown>

  await t.test('without a token every method is challenged, and nothing is called wrong (1)', async (t) => {
    for (const method of ['POST', 'GET', 'DELETE', 'PUT']) {
      for (const [path, resource] of [['/mcp', '/mcp'], ['/mcp/fixture', '/mcp/fixture']]) {
        const response = await fetch(url + (path ?? ''), { method })
        t.equal(response.status, 401, `${method} ${path ?? ''}`)
        t.equal(response.headers.get('www-authenticate'), `Bearer resource_metadata="${url}/.well-known/oauth-protected-resource${resource ?? ''}", scope="mcp"`)
      }
    }
    t.same(gateway.calls(), [], 'the upstream heard nothing')
  })

  await t.test('the resource metadata names the resource exactly and this gateway as its authorization server (2)', async (t) => {
    for (const [path, resource] of [['', '/mcp'], ['/mcp', '/mcp'], ['/mcp/fixture', '/mcp/fixture']]) {
      t.match(await json(`/.well-known/oauth-protected-resource${path ?? ''}`), { resource: url + (resource ?? ''), authorization_servers: [url], scopes_supported: ['mcp'] })
    }
  })

  await t.test('the authorization server describes itself, wherever a client looks (3)', async (t) => {
    for (const path of ['/.well-known/oauth-authorization-server', '/.well-known/oauth-authorization-server/mcp', '/.well-known/openid-configuration', '/.well-known/openid-configuration/mcp', '/mcp/.well-known/openid-configuration', '/mcp/fixture/.well-known/oauth-authorization-server']) {
      t.match(await json(path), {
        issuer: url,
        authorization_endpoint: `${url}/oauth/authorize`,
        token_endpoint: `${url}/oauth/token`,
        registration_endpoint: `${url}/oauth/register`,
        jwks_uri: `${url}/oauth/jwks`,
        code_challenge_methods_supported: ['S256'],
        response_types_supported: ['code'],
        authorization_response_iss_parameter_supported: true,
      }, path)
    }
  })

  await t.test('what a request says about the host appears nowhere (4)', async (t) => {
    const hostile = { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https', forwarded: 'host=evil.example' }
    for (const path of ['/.well-known/oauth-authorization-server', '/.well-known/oauth-protected-resource/mcp', '/mcp']) {
      const response = await fetch(url + path, { headers: hostile })
      t.notMatch(await response.text() + JSON.stringify([...response.headers]), /evil|https:/, path)
    }
  })

  await t.test('an authorization without scope and resource works, for the whole gateway (13)', async (t) => {
    const flow = openFlow(gateway)
    const client = await flow.clientId()
    const tokens = await flow.tokens(client, { scope: null, resource: null })
    t.equal(tokens.scope, 'mcp')
    t.equal(await flow.status(tokens.access_token), 200)
  })

  await t.test('a query that holds question marks is read to its end', async (t) => {
    const flow = openFlow(gateway)
    const client = await flow.clientId()
    for (const scope of [null, 'mcp']) {
      const address = flow.authorizationUrl(client, { state: null, scope }).replace('?', '?state=what?now?&')
      const back = await letIn(openBrowser(url), address, 'admin', adminPassword)
      t.equal(back.searchParams.get('state'), 'what?now?', `scope ${scope}`)
      t.ok(back.searchParams.get('code'))
    }
  })

  await t.test('registrations as real clients send them are taken (12)', async (t) => {
    const flow = openFlow(gateway)
    const bodies: Record<string, Record<string, unknown>> = {
      Cursor: { client_name: 'Cursor', redirect_uris: ['cursor://anysphere.cursor-mcp/oauth/callback', 'http://localhost:8787/callback', 'https://www.cursor.com/agents/mcp/oauth/callback'], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none', application_type: 'web' },
      'VS Code': { client_name: 'Visual Studio Code', client_uri: 'https://code.visualstudio.com', grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'], response_types: ['code'], redirect_uris: ['https://insiders.vscode.dev/redirect', 'https://vscode.dev/redirect', 'http://127.0.0.1/', 'http://127.0.0.1:33418/'], scope: 'mcp', token_endpoint_auth_method: 'none', application_type: 'native' },
      'claude.ai': { client_name: 'claudeai', redirect_uris: ['https://claude.ai/api/mcp/auth_callback'], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'client_secret_post', scope: 'mcp' },
      OpenCode: { client_name: 'OpenCode', client_uri: 'https://opencode.ai', redirect_uris: ['http://127.0.0.1:19876/mcp/oauth/callback'], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none' },
    }
    for (const [name, body] of Object.entries(bodies)) t.equal((await flow.register(body)).status, 201, name)
    const client = await flow.clientId(bodies['VS Code'])
    const back = await letIn(openBrowser(url), flow.authorizationUrl(client, { redirect_uri: 'http://127.0.0.1:50123/' }), 'admin', adminPassword)
    t.equal(back.port, '50123', 'the port of a loopback address may differ')
  })
})

t.test('behind a proxy that ends TLS, cookies are secure and nothing breaks (42, 31)', async (t) => {
  const gateway = await startGateway(t, { env: { PUBLIC_URL: 'https://gate.example' } })
  const through = { host: 'gate.example', 'x-forwarded-proto': 'http' }
  const register = await gateway.gateway.app.inject({ method: 'POST', url: '/oauth/register', headers: { ...through, 'content-type': 'application/json' }, payload: { redirect_uris: ['http://127.0.0.1:1/cb'] } })
  t.equal(register.statusCode, 201)
  const { client_id: client } = register.json<{ client_id: string }>()
  const query = new URLSearchParams({ client_id: client, response_type: 'code', redirect_uri: 'http://127.0.0.1:1/cb', code_challenge: 'a'.repeat(43), code_challenge_method: 'S256' })
  const reply = await gateway.gateway.app.inject({ url: `/oauth/authorize?${query.toString()}`, headers: through })
  t.equal(reply.statusCode, 303)
  const cookies = [reply.headers['set-cookie']].flat().map(String)
  t.ok(cookies.length >= 2)
  for (const cookie of cookies.filter((line) => !line.includes('1970'))) t.match(cookie, /secure; httponly/i, cookie)
  for (const cookie of cookies.filter((line) => !line.includes('1970'))) t.match(cookie, /samesite=lax/i, cookie)
  t.match(reply.headers['strict-transport-security'], /max-age/)

  const jar = new Map<string, string>()
  const keep = (lines: string[]): void => { for (const line of lines.filter((each) => !each.includes('1970'))) jar.set(line.slice(0, line.indexOf('=')), line) }
  const go = async (url: string, form?: Record<string, string>) => {
    const cookie = [...jar.values()].map((line) => line.split(';')[0]).join('; ')
    const answer = await gateway.gateway.app.inject({ url, headers: { ...through, cookie, ...(form !== undefined && { origin: 'https://gate.example', 'content-type': 'application/x-www-form-urlencoded' }) }, ...(form !== undefined && { method: 'POST' as const, payload: new URLSearchParams(form).toString() }) })
    keep([answer.headers['set-cookie'] ?? []].flat())
    return answer
  }
  keep(cookies)
  const page = String(reply.headers.location)
  const csrf = /name="csrf" value="([^"]*)"/.exec((await go(page)).body)?.[1] ?? ''
  const back = await go(`${page}/login`, { csrf, username: 'admin', password: adminPassword, do: 'login' })
  t.equal(back.statusCode, 303)
  t.match(String(back.headers.location), 'https://gate.example/oauth/authorize/')
  t.equal((await go(new URL(String(back.headers.location)).pathname)).statusCode, 303, 'logged in')
  t.match(jar.get('__Host-portcullis'), /^__Host-portcullis=[\w-]{43}; path=\/; samesite=lax; secure; httponly; expires=[^;]+$/i, 'no other host can set it')
  t.match([(await go('/account')).headers['set-cookie']].flat().at(-1), /^__Host-portcullis-account=[\w-]{43}; Path=\/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure$/)
})
