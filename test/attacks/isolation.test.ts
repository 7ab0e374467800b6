import t from 'tap'
import { adminPassword, startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } } }

async function sessionOf (gateway: TestGateway, token: string): Promise<Record<string, string>> {
  const response = await gateway.post('/mcp/fixture', token, initialize)
  return { 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' }
}

interface Result { result?: { content: { text: string }[] } }

async function callText (gateway: TestGateway, token: string, session: Record<string, string>, name: string, args: object = {}, id: unknown = 1): Promise<string> {
  const response = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } }, session)
  const text = await response.text()
  const body = JSON.parse(/^(event|id):/.test(text) ? text.split('data: ').at(-1) ?? '' : text) as Result
  return body.result?.content[0]?.text ?? text
}

t.test('T32, 16: two hundred calls of two users, all with id 1, never cross over', async (t) => {
  const gateway = await startGateway(t, { yaml: { limits: [{ calls: 100_000, per: 'hour', by: ['user', 'tool'] }] } })
  const users = await Promise.all(['alice', 'bob'].map(async (name) => {
    const token = await gateway.addUser(name, ['user'])
    return { name, token, session: await sessionOf(gateway, token) }
  }))
  const wanted = Array.from({ length: 200 }, (_, i) => `${users[i % 2]?.name} asks ${i}`)
  const got = await Promise.all(wanted.map(async (text, i) => {
    const { token, session } = users[i % 2] ?? users[0] as never
    return await callText(gateway, token, session, 'echo', { text })
  }))
  t.same(got, wanted)
  const rows = await gateway.rows({ method: 'tools/call', outcome: 'ok' })
  t.equal(rows.length, 200)
  t.ok(rows.every(({ principal, arguments: args }) => (args as { text: string }).text.startsWith(String(principal))), 'and each record is in its own user\'s name')
})

t.test('T34, 37, 43: calls with the same id and the same progress token each hear their own progress, and nothing else', async (t) => {
  const gateway = await startGateway(t, { yaml: { limits: [{ calls: 100_000, per: 'hour', by: ['user', 'tool'] }] } })
  const users = await Promise.all(['alice', 'bob'].map(async (name) => {
    const token = await gateway.addUser(name, ['user'])
    return { token, session: await sessionOf(gateway, token) }
  }))
  const heard = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const { token, session } = users[i % 2] ?? users[0] as never
    const response = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'progress', arguments: {}, _meta: { progressToken: 'mine' } } }, session)
    const messages = (await response.text()).split('\n').filter((line) => line.startsWith('data: {')).map((line) => JSON.parse(line.slice(6)) as { params?: { progressToken: unknown, progress: number } })
    return messages.flatMap(({ params }) => params === undefined ? [] : [[params.progressToken, params.progress]])
  }))
  for (const own of heard) t.same(own, [['mine', 1], ['mine', 2], ['mine', 3]])
})

t.test('T36: each user has a process of their own', async (t) => {
  const gateway = await startGateway(t)
  const [alice, bob] = [await gateway.addUser('alice', ['user']), await gateway.addUser('bob', ['user'])]
  const [a, b] = [await sessionOf(gateway, alice), await sessionOf(gateway, bob)]
  const state = async (token: string, session: Record<string, string>): Promise<{ counter: number }> => JSON.parse(await callText(gateway, token, session, 'whoami')) as { counter: number }
  await state(alice, a)
  t.match(await state(alice, a), { counter: 2 })
  t.match(await state(bob, b), { counter: 1 })
  t.match(await state(alice, await sessionOf(gateway, alice)), { counter: 3 }, 'another session of the same user shares it')
})

t.test('T18: a disabled user is refused at once and leaves no process behind', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await sessionOf(gateway, token)
  const { pid } = JSON.parse(await callText(gateway, token, session, 'whoami')) as { pid: number }
  t.type(pid, 'number')
  await gateway.disableUser('alice')
  const refused = async (): Promise<boolean> => (await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'ping' }, session)).status === 401
  const end = Date.now() + 1000
  while (!await refused()) if (Date.now() > end) return t.fail('still served after a second')
  while ((await gateway.rows({ kind: 'upstream' })).length < 2) await new Promise((resolve) => setTimeout(resolve, 20))
  t.pass('refused, and the instance ended')
})

t.test('T16, T20, T46, 76: nothing of the gateway is found in a child, a log, a record or an answer', async (t) => {
  const canary = 'canary-7f3a91d2'
  process.env['PORTCULLIS_TEST_CANARY'] = canary
  t.teardown(() => { delete process.env['PORTCULLIS_TEST_CANARY'] })
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await sessionOf(gateway, token)
  const environment = await callText(gateway, token, session, 'env')
  const { NODE_OPTIONS: options, ...variables } = JSON.parse(environment) as Record<string, string>
  t.same(Object.keys(variables).filter((name) => !['PATH', 'HOME', 'TMPDIR', 'LANG', 'USER', 'LOGNAME', 'CALLS', 'PWD'].includes(name)), [], 'a child has what the config names and the basics, nothing else')
  t.match(options ?? '--max-old-space-size=1', /^--max-old-space-size=\d+$/, 'and, for Node, its memory limit')
  const received = await callText(gateway, token, session, 'raw', { text: 'x' })
  await gateway.post('/mcp/fixture', `${token}x`, initialize)
  await gateway.login('admin', 'not the password at all').catch(() => {})
  await gateway.post('/auth/login', undefined, { username: 'admin', password: adminPassword, extra: canary })
  const rows = JSON.stringify(await gateway.rows())
  const places = { environment, received, rows, log: gateway.log() }
  for (const [place, text] of Object.entries(places)) {
    for (const secret of [token, token.split('.')[2] ?? '', adminPassword, 'password of alice', canary, 'not the password at all']) t.notOk(text.includes(secret), `${secret.slice(0, 12)}… in ${place}`)
  }
})

t.test('T24: every route wants a token, but for those that are public on purpose', async (t) => {
  const open = /^\/(livez|readyz|errors\/|\.well-known\/|oauth\/|interaction\/|auth\/(login|refresh)|account$|mcp\/(:upstream\/)?\.well-known\/)/
  const gateway = await startGateway(t)
  const routes = routesOf(gateway)
  t.ok(routes.length > 15, `${routes.length} routes`)
  for (const { method, path } of routes.filter((route) => !open.test(route.path))) {
    const response = await fetch(new URL(path.replace(/:\w+|\*/g, 'x'), gateway.url), { method, ...(['POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? { headers: { 'content-type': 'application/json' }, body: '{}' } : {}) })
    await response.body?.cancel()
    // What leads a browser to a public page is nothing for programs. The forms of the account page, and the way back from a company's login, want a cookie of ours.
    t.equal(response.status, /^\/(account\/\*)?$/.test(path) ? 404 : /^\/(account|login)\//.test(path) ? 403 : 401, `${method} ${path}`)
  }
})

t.test('T23: no route lets a foreign page read an answer, and none takes credentials along', async (t) => {
  const gateway = await startGateway(t)
  for (const { method, path } of routesOf(gateway).filter((route) => route.method !== 'TRACE' && !/^\/(livez|readyz)/.test(route.path))) {
    const address = new URL(path.replace(/:\w+|\*/g, 'x'), gateway.url)
    for (const origin of ['https://evil.example', 'null', gateway.url]) {
      const { status, headers, body } = await fetch(address, { method, headers: { origin } })
      await body?.cancel()
      t.equal(headers.get('access-control-allow-credentials'), null, `${method} ${path} ${origin}`)
      if (origin === gateway.url) continue
      t.equal(status, 403, `${method} ${path} ${origin}`)
      t.equal(headers.get('access-control-allow-origin'), null, `${method} ${path} ${origin}`)
    }
  }
})

t.test('T21: a reference to a secret is text when a user sends it', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  // eslint-disable-next-line no-template-curly-in-string -- the form of a reference
  const text = '${secret:fixture} ${env:HOME} ${user.id} $HOME'
  const session = await sessionOf(gateway, token)
  t.equal(await callText(gateway, token, { ...session, 'x-note': text }, 'echo', { text }), text)
  t.match(gateway.calls().filter(({ method }) => method === 'tools/call').at(-1), { params: { arguments: { text } } }, 'the upstream gets it as it was sent')
})

/** Every route there is, but the one for all that is not there below /auth, which is printed without its address. */
function routesOf (gateway: TestGateway): { method: string, path: string }[] {
  const parents: string[] = []
  return gateway.gateway.app.printRoutes({ commonPrefix: false }).split('\n').flatMap((line) => {
    const [, indent = '', segment = '', methods = ''] = /^([│ ]*)[├└]── (\S+)(?: \(([A-Z, ]+)\))?/.exec(line) ?? []
    const path = (parents[indent.length / 4 - 1] ?? '') + (segment === '*' ? '/*' : segment)
    parents[indent.length / 4] = path
    return methods === '' || /^\/+\*$/.test(path) ? [] : methods.split(', ').map((method) => ({ method, path }))
  })
}
