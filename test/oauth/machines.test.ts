import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

import { Client, ClientCredentialsProvider, PrivateKeyJwtProvider, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { SignJWT } from 'jose'
import t from 'tap'
import type { Test } from 'tap'

import { clientDocuments } from '../../plugins/oauth/documents.ts'
import { rotateKey } from '../../src/identity/signing-keys.ts'
import { addMachineClient, removeMachineClient } from '../../src/identity/machine-clients.ts'
import { openMasterKey } from '../../src/identity/master-key.ts'
import { adminPassword, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { openBrowser } from './browser.ts'
import { errorOf, openFlow } from './flow.ts'
import type { Tokens } from './flow.ts'

const audit = (): undefined => undefined

t.test('a program that acts by itself calls with its secret, as far as its role goes (44)', async (t) => {
  const gateway = await startGateway(t)
  const deps = { db: gateway.database.db, audit, now: Date.now }
  const { secret = '' } = await addMachineClient(deps, { name: 'ci', roles: ['user'] }, 'test')
  const client = await connect(t, gateway, new ClientCredentialsProvider({ clientId: 'ci', clientSecret: secret }))
  t.match(await client.callTool({ name: 'echo', arguments: { text: 'hello' } }), { content: [{ text: 'hello' }] })
  await t.rejects(client.callTool({ name: 'secret', arguments: {} }), /Unknown tool/)
  t.match(await gateway.rows({ tool: 'echo' }), [{ principal: 'ci', client: /./ }])

  const flow = openFlow(gateway)
  const basic = (password: string): Record<string, string> => ({ authorization: `Basic ${Buffer.from(`ci:${password}`).toString('base64')}` })
  const ask = async (password: string): Promise<Response> => await flow.token({ grant_type: 'client_credentials' }, basic(password))
  t.equal(await errorOf(await ask('wrong')), '401 invalid_client')
  const { rows: [row] } = await gateway.database.pool.query<{ hash: string }>("select metadata ->> 'client_secret' as hash from oauth_clients where client_id = 'ci'")
  t.equal(await errorOf(await ask(row?.hash ?? '')), '401 invalid_client', 'what is stored is not what is asked for')
  const tokens = await (await ask(secret)).json() as Tokens
  t.notOk(tokens.refresh_token)
  t.equal(await flow.status(tokens.access_token), 200)
  const revoked = await fetch(`${gateway.url}/oauth/revoke`, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...basic(secret) }, body: new URLSearchParams({ token: tokens.access_token }).toString() })
  t.equal(revoked.status, 200)
  t.equal(await flow.status(tokens.access_token), 401, 'it gives a token back')
  t.match((await gateway.rows({ kind: 'token' })).at(-1), { outcome: 'ok', detail: { action: 'revoke', client: 'ci' } })
  const next = await (await ask(secret)).json() as Tokens
  t.equal(await flow.status(next.access_token), 200, 'and works on with another')
  await removeMachineClient(deps, 'ci', { source: 'test' })
  await until(async () => await flow.status(next.access_token) === 401)
  t.equal(await errorOf(await ask(secret)), '401 invalid_client')
})

t.test('no program can be called what the gateway calls itself', async (t) => {
  const gateway = await startGateway(t)
  const deps = { db: gateway.database.db, audit, now: Date.now }
  for (const name of ['portcullis', 'Portcullis', 'portcullis-account', 'portcullis-browser']) {
    await t.rejects(addMachineClient(deps, { name, roles: ['admin'] }, 'test'), { code: 'PORTCULLIS_INVALID_REQUEST', message: /The gateway itself/ }, name)
  }
  t.equal((await gateway.database.pool.query("select from users where username_norm like 'portcullis%'")).rowCount, 0)
  t.not(await openFlow(gateway).clientId({ client_id: 'portcullis' }), 'portcullis', 'nor one that registers itself')
})

t.test('a program proves itself with a key of its own, and each proof once (44)', async (t) => {
  const gateway = await startGateway(t)
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await addMachineClient({ db: gateway.database.db, audit, now: Date.now }, { name: 'robot', roles: ['user'], jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] } }, 'test')
  const provider = new PrivateKeyJwtProvider({ clientId: 'robot', privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), algorithm: 'ES256' })
  const client = await connect(t, gateway, provider)
  t.match(await client.callTool({ name: 'echo', arguments: { text: 'hello' } }), { content: [{ text: 'hello' }] })
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const impostor = new PrivateKeyJwtProvider({ clientId: 'robot', privateKey: other.export({ type: 'pkcs8', format: 'pem' }).toString(), algorithm: 'ES256' })
  await t.rejects(connect(t, gateway, impostor))

  const flow = openFlow(gateway)
  const prove = async (): Promise<string> => await new SignJWT({ iss: 'robot', sub: 'robot', aud: gateway.url, jti: randomUUID() }).setProtectedHeader({ alg: 'ES256' }).setIssuedAt().setExpirationTime('1m').sign(privateKey)
  const ask = async (proof: string): Promise<number> => (await flow.token({ grant_type: 'client_credentials', client_id: 'robot', client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: proof })).status
  const proof = await prove()
  t.same([await ask(proof), await ask(proof)], [200, 401], 'one after the other')
  const crowded = await prove()
  t.same((await Promise.all(Array.from({ length: 8 }, async () => await ask(crowded)))).sort(), [200, 401, 401, 401, 401, 401, 401, 401], 'eight at once')
})

t.test('the device flow, from end to end (43)', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const client = await flow.clientId({ redirect_uris: [], response_types: [], grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'] })
  const device = await (await fetch(`${gateway.url}/oauth/device_authorization`, { method: 'POST', body: new URLSearchParams({ client_id: client, scope: 'mcp' }) })).json() as { device_code: string, user_code: string, verification_uri: string }
  t.match(device.user_code, /^[A-Z]{4}-[A-Z]{4}$/)
  const poll = async (): Promise<Response> => await flow.token({ grant_type: 'urn:ietf:params:oauth:grant-type:device_code', client_id: client, device_code: device.device_code })
  t.equal(await errorOf(await poll()), '400 authorization_pending')

  const browser = openBrowser(gateway.url)
  let page = await browser.open(device.verification_uri)
  page = await browser.submit(page, { user_code: 'WRNG-CODE' })
  t.match(page.html, /role="alert".*not known/)
  page = await browser.submit(page, { user_code: device.user_code.toLowerCase() })
  t.match(page.html, device.user_code)
  page = await browser.submit(page, {})
  page = await browser.submit(page, { username: 'admin', password: adminPassword, do: 'login' })
  page = await browser.submit(page, { do: 'allow' })
  t.match(page.html, /Your device is connected/)

  const tokens = await (await poll()).json() as Tokens
  t.equal(await flow.status(tokens.access_token), 200)
  t.equal(await errorOf(await poll()), '400 invalid_grant', 'its code is used up')
  t.equal(await flow.status(tokens.access_token), 401, 'and whoever used it twice has lost')
})

t.test('keys change without a refusal: both are published while both are needed (41)', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const { identity } = gateway.gateway.app
  const client = await flow.clientId()
  const kidOf = (token: string): string => (JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { kid: string }).kid
  const published = async (): Promise<string[]> => (await (await fetch(`${gateway.url}/oauth/jwks`)).json() as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)

  const before = await flow.tokens(client)
  const next = await rotateKey({ db: gateway.database.db, master: openMasterKey(join(gateway.folder, 'data')) }, new Date(Date.now() + 3_600_000), () => {})
  await identity.refreshKeys()
  t.ok((await published()).includes(next), 'published before it signs')
  t.equal(kidOf((await flow.tokens(client)).access_token), kidOf(before.access_token))

  await gateway.database.pool.query("update signing_keys set not_before = $1 where state = 'next'", [new Date(Date.now() - 1000)])
  await identity.refreshKeys()
  const after = await flow.tokens(client)
  t.equal(kidOf(after.access_token), next)
  t.equal(kidOf(await gateway.login()), next, 'for logins too')
  for (const { access_token: token } of [before, after]) t.equal(await flow.status(token), 200)
  t.equal((await flow.refresh(client, before.refresh_token)).status, 200)
  t.same((await published()).sort(), [next, kidOf(before.access_token)].sort())

  await gateway.database.pool.query("update signing_keys set retire_at = $1 where state = 'retired'", [new Date(Date.now() - 1000)])
  await identity.refreshKeys()
  t.same(await published(), [next])
})

t.test('T15: documents about clients', async (t) => {
  const id = 'https://client.example/oauth/client.json'
  const document = { client_id: id, client_name: 'Documented', redirect_uris: ['http://127.0.0.1/callback'], token_endpoint_auth_method: 'none' }

  await t.test('are not used unless the configuration says so (3, 38)', async (t) => {
    const gateway = await startGateway(t)
    t.not((await metadata(gateway))['client_id_metadata_document_supported'], true)
    t.equal((await openBrowser(gateway.url).open(openFlow(gateway).authorizationUrl(id))).status, 400)
  })

  await t.test('can be pinned, so that nothing is fetched (10, 11)', async (t) => {
    const folder = t.testdir({ 'client.json': JSON.stringify(document) })
    const gateway = await startGateway(t, { yaml: { oauth: { client_documents: 'pinned', pinned_documents: [join(folder, 'client.json')] } } })
    t.equal((await metadata(gateway))['client_id_metadata_document_supported'], true)
    const flow = openFlow(gateway)
    const browser = openBrowser(gateway.url)
    const page = await browser.submit(await browser.open(flow.authorizationUrl(id)), { username: 'admin', password: adminPassword, do: 'login' })
    t.match(page.html, /described by <strong>client\.example/)
    t.notMatch(page.html, /Not verified/)
    const tokens = await flow.tokens(id)
    t.equal(await flow.status(tokens.access_token), 200)
    t.equal((await browser.open(flow.authorizationUrl('https://other.example/client.json'))).status, 400)
  })

  await t.test('are never fetched from an address that is not public (38)', async (t) => {
    let connections = 0
    const target = createServer((socket) => { connections += 1; socket.destroy() })
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve))
    t.teardown(() => target.close())
    const { port } = target.address() as AddressInfo
    const gateway = await startGateway(t, { yaml: { oauth: { client_documents: 'fetch' } } })
    const flow = openFlow(gateway)
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, `[::ffff:127.0.0.1]:${port}`, `0x7f.1:${port}`, `2130706433:${port}`, `x.localhost:${port}`, '169.254.169.254', 'metadata.internal', 'user@client.example', 'client.example:8443']) {
      const page = await openBrowser(gateway.url).open(flow.authorizationUrl(`https://${host}/client.json`))
      t.equal(page.status, 400, host)
    }
    t.equal(connections, 0, 'nobody was even connected to')
    for (const bad of ['http://client.example/client.json', 'https://client.example/a/../client.json', 'https://client.example/client.json#x']) t.equal((await openBrowser(gateway.url).open(flow.authorizationUrl(bad))).status, 400, bad)
  })

  await t.test('are fetched ten times a minute for one address (38)', async (t) => {
    const { feature } = clientDocuments({ registration: true, clientDocuments: 'fetch', pinned: { [id]: '{}' } })
    const mayFetch = async (ip: string, name: string): Promise<unknown> => await feature.allowFetch?.({ ip } as never, name)
    const asked = await Promise.all(Array.from({ length: 12 }, async (_, at) => await mayFetch('192.0.2.1', `https://client.example/${at}`)))
    t.same(asked.filter((allowed) => allowed === true).length, 10)
    t.equal(await mayFetch('192.0.2.2', 'https://client.example/12'), true, 'another address goes on')
    t.equal(await mayFetch('192.0.2.1', id), true, 'what is pinned is not fetched')
  })

  await t.test('that do not fit are refused, pinned or not (38)', async (t) => {
    const at = (name: string, changes: object): string => JSON.stringify({ ...document, client_id: `https://client.example/${name}`, ...changes })
    const folder = t.testdir({
      secret: at('secret', { client_secret: 'x' }), shared: at('shared', { token_endpoint_auth_method: 'client_secret_basic' }), script: at('script', { redirect_uris: ['javascript:alert(1)'] }), large: at('large', { client_name: 'x'.repeat(6000) }), 'not-https': 'x',
    })
    const gateway = await startGateway(t, { yaml: { oauth: { client_documents: 'pinned', pinned_documents: ['secret', 'shared', 'script', 'large'].map((name) => join(folder, name)) } } })
    for (const name of ['secret', 'shared', 'script', 'large']) t.equal((await openBrowser(gateway.url).open(openFlow(gateway).authorizationUrl(`https://client.example/${name}`))).status, 400, name)
    writeFileSync(join(folder, 'no-id'), '{}')
    await t.rejects(startGateway(t, { yaml: { oauth: { client_documents: 'pinned', pinned_documents: [join(folder, 'no-id')] } } }), /client_id is the https address/)
    await t.rejects(startGateway(t, { yaml: { oauth: { pinned_documents: [join(folder, 'secret')] } } }), /has no effect while client_documents is off/)
  })
})

t.test('registration can be closed; the refusal says what to do', async (t) => {
  const gateway = await startGateway(t, { yaml: { oauth: { registration: false } } })
  t.notOk((await metadata(gateway))['registration_endpoint'])
  const response = await openFlow(gateway).register()
  t.equal(response.status, 403)
  t.match(await response.json(), { error: 'access_denied', error_description: /portcullis token create/ })
})

async function metadata (gateway: TestGateway): Promise<Record<string, unknown>> {
  return await (await fetch(`${gateway.url}/.well-known/oauth-authorization-server`)).json() as Record<string, unknown>
}

async function connect (t: Test, gateway: TestGateway, authProvider: ClientCredentialsProvider | PrivateKeyJwtProvider): Promise<Client> {
  const client = new Client({ name: 'machine', version: '1' })
  await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp/fixture`), { authProvider }))
  t.teardown(() => client.close())
  return client
}
