import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport, UnauthorizedError as ModernUnauthorized } from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import t from 'tap'

import { adminPassword, startGateway } from '../support/gateway.ts'
import { letIn, openBrowser } from './browser.ts'
import { openFlow } from './flow.ts'

/** What a client keeps: everything in memory, and the address that a browser would be sent to. */
function memory (): OAuthClientProvider & { authorizationUrl: URL | undefined, saved: Record<string, unknown> } {
  const saved: Record<string, unknown> = {}
  return {
    saved,
    authorizationUrl: undefined,
    redirectUrl: 'http://127.0.0.1:33418/callback',
    clientMetadata: { client_name: 'A client of the tests', redirect_uris: ['http://127.0.0.1:33418/callback'], scope: 'mcp' },
    clientInformation: () => saved['client'] as undefined,
    saveClientInformation (client) { saved['client'] = client },
    tokens: () => saved['tokens'] as undefined,
    saveTokens (tokens) { saved['tokens'] = tokens },
    redirectToAuthorization (url) { this.authorizationUrl = url },
    saveCodeVerifier (verifier) { saved['verifier'] = verifier },
    codeVerifier: () => String(saved['verifier']),
  }
}

t.test('SDK v1 goes from nothing to a tool call, and refreshes (6)', async (t) => {
  const gateway = await startGateway(t)
  const keeper = memory()
  const url = new URL(`${gateway.url}/mcp`)
  const first = new StreamableHTTPClientTransport(url, { authProvider: keeper })
  await t.rejects(new Client({ name: 'v1', version: '1' }).connect(first as Transport), { message: 'Unauthorized' })
  const callback = await letIn(openBrowser(gateway.url), String(keeper.authorizationUrl), 'admin', adminPassword)
  t.equal(callback.searchParams.get('iss'), gateway.url)
  await first.finishAuth(callback.searchParams.get('code') ?? '')

  const call = async (): Promise<unknown> => {
    const client = new Client({ name: 'v1', version: '1' })
    await client.connect(new StreamableHTTPClientTransport(url, { authProvider: keeper }) as Transport)
    t.teardown(() => client.close())
    return await client.callTool({ name: 'fixture__echo', arguments: { text: 'hello' } })
  }
  t.match(await call(), { content: [{ text: /hello/ }] })

  const before = keeper.saved['tokens'] as { access_token: string, refresh_token: string }
  keeper.saved['tokens'] = { ...before, access_token: `${before.access_token.slice(0, -4)}AAAA` }
  t.match(await call(), { content: [{ text: /hello/ }] }, 'with a refreshed token')
  t.not((keeper.saved['tokens'] as typeof before).refresh_token, before.refresh_token)
})

t.test('T14: SDK v2 goes from nothing to a tool call, and checks the issuer (7)', async (t) => {
  const gateway = await startGateway(t)
  const keeper = memory()
  const url = new URL(`${gateway.url}/mcp/fixture`)
  const first = new ModernTransport(url, { authProvider: keeper as never })
  await t.rejects(new ModernClient({ name: 'v2', version: '1' }).connect(first), ModernUnauthorized)
  const callback = await letIn(openBrowser(gateway.url), String(keeper.authorizationUrl), 'admin', adminPassword)
  t.equal(callback.searchParams.get('iss'), gateway.url)
  const mixedUp = new URLSearchParams(callback.searchParams)
  mixedUp.set('iss', 'https://issuer.example')
  await t.rejects(first.finishAuth(mixedUp), 'the code of another issuer is not sent anywhere')
  await first.finishAuth(callback.searchParams)
  const client = new ModernClient({ name: 'v2', version: '1' })
  await client.connect(new ModernTransport(url, { authProvider: keeper as never }))
  t.teardown(() => client.close())
  t.match(await client.callTool({ name: 'echo', arguments: { text: 'hello' } }), { content: [{ text: /hello/ }] })
})

t.test('SDK v2 steps up: a token without the scope of calls is 403 insufficient_scope, and the client asks for more (7)', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const clientId = await flow.clientId()
  const narrow = await flow.tokens(clientId, { scope: 'openid' })
  const refused = await gateway.post('/mcp', narrow.access_token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'fixture__echo', arguments: { text: 'too early' } } })
  t.equal(refused.status, 403)
  t.match(refused.headers.get('www-authenticate'), /^Bearer resource_metadata="[^"]+", scope="mcp", error="insufficient_scope"/)
  t.match(await refused.json(), { error: { data: { code: 'PORTCULLIS_INSUFFICIENT_SCOPE' } } })
  t.same(gateway.calls().filter(({ method }) => method === 'tools/call'), [], 'the upstream was not asked')

  const keeper = memory()
  keeper.saved['client'] = { client_id: clientId, redirect_uris: [flow.redirect], issuer: gateway.url }
  keeper.saved['tokens'] = { ...narrow, refresh_token: undefined, token_type: 'Bearer', issuer: gateway.url }
  const url = new URL(`${gateway.url}/mcp`)
  const first = new ModernTransport(url, { authProvider: keeper as never })
  await t.rejects(new ModernClient({ name: 'v2', version: '1' }).connect(first), ModernUnauthorized)
  t.match(keeper.authorizationUrl?.searchParams.get('scope'), /\bmcp\b/)
  await first.finishAuth((await letIn(openBrowser(gateway.url), String(keeper.authorizationUrl), 'admin', adminPassword)).searchParams)
  const client = new ModernClient({ name: 'v2', version: '1' })
  await client.connect(new ModernTransport(url, { authProvider: keeper as never }))
  t.teardown(() => client.close())
  t.match(await client.callTool({ name: 'fixture__echo', arguments: { text: 'hello' } }), { content: [{ text: /hello/ }] })
})
