import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LoggingMessageNotificationSchema, ResourceUpdatedNotificationSchema, ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import t from 'tap'
import type { Test } from 'tap'
import { fixture, fixtures, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { modernHeaders, modernTool, openSession, read, rpc, tool } from '../support/wire.ts'

const envelope = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} }

interface News { method?: string, params: { uri?: string, notifications?: object, _meta: Record<string, unknown> } }

async function start (t: Test, more: object = {}, upstreams: object = {}): Promise<TestGateway> {
  const folder = t.testdir()
  const shared = join(folder, 'shared')
  return await startGateway(t, {
    folder,
    yaml: {
      upstreams: { fixture: fixture({ shared, ...more }), listening: { command: ['node', join(fixtures, 'listening.mjs')], env: { CALLS: '/shared/calls' }, sandbox: { write: [`${shared}:/shared`] }, ...more }, ...upstreams },
      roles: {
        user: { allow: ['*/*'], deny: [{ resource: '*/memo://two' }] },
        all: { allow: ['*/*'] },
        less: { allow: [{ tool: '*/*' }, { resource: '*/memo://two' }] },
        named: { allow: ['*/*'], deny: [{ resource: '*/memo://one', where: 'principal.name == "carol"' }] },
      },
    }
  })
}

/** A raw listen of a 2026-07-28 client: what it was told so far, and how to leave. */
async function listen (t: Test, gateway: TestGateway, token: string, path: string, id: unknown, notifications: object): Promise<{ news: News[], leave: () => void }> {
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  const response = await fetch(gateway.url + path, {
    method: 'POST',
    signal: leaving.signal,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen' },
    body: JSON.stringify({ jsonrpc: '2.0', id, method: 'subscriptions/listen', params: { notifications, _meta: envelope } }),
  })
  const news: News[] = []
  const read = async (): Promise<void> => {
    let rest = ''
    for await (const chunk of response.body ?? []) {
      const parts = (rest + Buffer.from(chunk as Uint8Array).toString()).split('\n\n')
      rest = parts.pop() ?? ''
      for (const part of parts) if (part.includes('data: ')) news.push(JSON.parse(part.split('data: ')[1] ?? '') as News)
    }
  }
  read().catch(() => {})
  await until(() => news.length > 0)
  return { news, leave: () => leaving.abort() }
}

/** Takes `memo://one` from a user, to whom the tools and `memo://two` are left; done when the gateway goes by it. */
async function shrink (gateway: TestGateway, name: string, token: string): Promise<void> {
  await gateway.setRoles(name, ['less'])
  await until(async () => (await read(await gateway.post('/mcp/fixture', token, rpc('resources/read', { uri: 'memo://one', _meta: envelope }), modernHeaders('resources/read', 'memo://one')))).text.includes('PORTCULLIS_UNKNOWN_TARGET'))
}

const about = (gateway: TestGateway, method: string): number => gateway.calls().filter((call) => call.method === method).length

t.test('64, 65: a 2026-07-28 client listens to resources of a session-era upstream, which is told once', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const first = await listen(t, gateway, token, '/mcp/fixture', 1, { resourceSubscriptions: ['memo://one', 'memo://two'], toolsListChanged: true, promptsListChanged: true })
  t.equal(first.news[0]?.method, 'notifications/subscriptions/acknowledged')
  t.same(first.news[0]?.params.notifications, { toolsListChanged: true, resourceSubscriptions: ['memo://one'] }, 'what is honoured comes first: not what may not be read, nor what the upstream never tells')
  await until(() => first.news.length > 1)
  t.match(first.news[1], { method: 'notifications/resources/updated', params: { uri: 'memo://one', _meta: { 'io.modelcontextprotocol/subscriptionId': 1 } } })
  t.notOk(gateway.calls().some(({ method, params }) => method === 'resources/subscribe' && params['uri'] === 'memo://two'), 'the upstream was not asked about what is denied')

  const second = await listen(t, gateway, token, '/mcp', '1', { resourceSubscriptions: ['memo://one'] })
  await until(() => second.news.length > 1)
  t.match(second.news[1], { params: { _meta: { 'io.modelcontextprotocol/subscriptionId': '1' } } }, 'each under its own id, with its type')
  const opened = (await gateway.client('/mcp/fixture', token))
  second.leave()
  await opened.callTool({ name: 'echo', arguments: { text: 'meanwhile' } })
  t.equal(about(gateway, 'resources/unsubscribe'), 0, 'one still listens')
  first.leave()
  await until(() => about(gateway, 'resources/unsubscribe') === 1)
  t.pass('the last one left')
})

t.test('66: a session-era client subscribes at a 2026-07-28 upstream, which is listened to anew', async (t) => {
  const gateway = await start(t)
  const client = await gateway.client('/mcp/listening', await gateway.addUser('alice', ['user']))
  const updated: string[] = []
  let changed = 0
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => { updated.push(params.uri); t.equal(params._meta, undefined, 'the id of the gateway\'s own listen stays here') })
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => { changed++ })
  await client.subscribeResource({ uri: 'memo://one' })
  await until(() => about(gateway, 'notifications/cancelled') === 1)
  t.same(gateway.calls().filter(({ method }) => method === 'subscriptions/listen').map(({ params }) => params['notifications']), [{ toolsListChanged: true }, { toolsListChanged: true, resourceSubscriptions: ['memo://one'] }], 'the new stream is open before the old one ends')
  await client.callTool({ name: 'touch', arguments: {} })
  await until(() => updated.length > 0)
  t.same(updated, ['memo://one'])
  await client.callTool({ name: 'grow', arguments: {} })
  await until(() => changed === 1)
  t.ok((await client.listTools()).tools.some(({ name }) => name === 'grown'), '80: what changed is seen')
  await client.unsubscribeResource({ uri: 'memo://one' })
  await until(() => about(gateway, 'notifications/cancelled') === 2)
  await client.callTool({ name: 'touch', arguments: {} })
  await client.ping()
  t.same(updated, ['memo://one'])
})

t.test('26, 65: a session that is ended takes its calls and its subscriptions along', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const [ended, kept] = [await openSession(gateway, token), await openSession(gateway, token)]
  const subscribe = async (session: Record<string, string>): Promise<number> => (await read(await gateway.post('/mcp/fixture', token, rpc('resources/subscribe', { uri: 'memo://one' }), session))).status
  const end = async (session: Record<string, string>): Promise<number> => (await fetch(`${gateway.url}/mcp/fixture`, { method: 'DELETE', headers: { authorization: `Bearer ${token}`, ...session } })).status
  t.same([await subscribe(ended), await subscribe(kept)], [200, 200])
  const hanging = gateway.post('/mcp/fixture', token, tool('hang'), ended)
  await until(() => gateway.calls().some(({ params }) => params?.['name'] === 'hang'))
  t.equal(await end(ended), 204)
  t.match((await read(await hanging)).body, { error: { data: { code: 'PORTCULLIS_CANCELLED' } } })
  await until(() => about(gateway, 'notifications/cancelled') === 1)
  t.equal(about(gateway, 'resources/unsubscribe'), 0, 'another session still wants to know')
  t.equal(await end(kept), 204)
  await until(() => about(gateway, 'resources/unsubscribe') === 1)
  t.pass('the upstream was told both')
})

t.test('65: an upstream that somebody is subscribed at is in use, although nobody calls', async (t) => {
  const gateway = await start(t, { timeouts: { idle: '1s' } })
  const [alice, bob] = [await gateway.addUser('alice', ['user']), await gateway.addUser('bob', ['user'])]
  const stopped = async (): Promise<unknown[]> => (await gateway.rows({ kind: 'upstream' })).filter(({ detail }) => (detail as { event: string }).event === 'exit').map(({ upstream }) => upstream)
  const session = await openSession(gateway, alice)
  await read(await gateway.post('/mcp/fixture', alice, rpc('resources/subscribe', { uri: 'memo://one' }), session))
  const listener = await listen(t, gateway, alice, '/mcp/listening', 1, { resourceSubscriptions: ['memo://one'] })
  for (const name of ['fixture', 'listening']) await openSession(gateway, bob, '2025-11-25', `/mcp/${name}`)
  await until(async () => (await stopped()).length === 2)
  t.same((await stopped()).sort(), ['fixture', 'listening'], 'bob\'s, which were used later')
  t.equal(gateway.calls().filter(({ method }) => method === 'resources/unsubscribe').length, 0)
  listener.leave()
  await fetch(`${gateway.url}/mcp/fixture`, { method: 'DELETE', headers: { authorization: `Bearer ${alice}`, ...session } })
  await until(async () => (await stopped()).length === 4)
  t.pass('nobody waits for their news any more')
})

t.test('65, 66: an upstream that is started anew is asked anew, and who waits for news hears that there may be some', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  for (const [name, asking] of [['fixture', 'resources/subscribe'], ['listening', 'subscriptions/listen']] as const) {
    const asked = (): number => gateway.calls().filter(({ method, params }) => method === asking && JSON.stringify(params).includes('memo://one')).length
    const client = await gateway.client(`/mcp/${name}`, token)
    const updated: string[] = []
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => { updated.push(params.uri) })
    await client.subscribeResource({ uri: 'memo://one' })
    const listener = await listen(t, gateway, token, `/mcp/${name}`, 7, { resourceSubscriptions: ['memo://one'] })
    const before = { asked: asked(), news: listener.news.length }
    t.match(await client.callTool({ name: 'crash', arguments: {} }), { isError: true }, `${name} dies`)
    updated.length = 0
    await client.callTool({ name: name === 'fixture' ? 'whoami' : 'shapes', arguments: {} })
    await until(() => updated.length > 0 && listener.news.length > before.news)
    t.match(listener.news.at(-1), { method: 'notifications/resources/updated', params: { uri: 'memo://one' } })
    t.equal(asked(), before.asked + 1, 'once for both')
    const undone = name === 'fixture' ? 'resources/unsubscribe' : 'notifications/cancelled'
    const told = about(gateway, undone)
    listener.leave()
    await client.unsubscribeResource({ uri: 'memo://one' })
    await until(() => about(gateway, undone) > told)
    await client.callTool({ name: 'crash', arguments: {} })
    await client.callTool({ name: name === 'fixture' ? 'whoami' : 'shapes', arguments: {} })
    await client.ping()
    t.equal(asked(), before.asked + 1, 'what nobody wants to hear of is not asked for again')
  }
})

t.test('an update is told to whoever may read the resource now, in either era', async (t) => {
  const gateway = await start(t, { isolation: 'shared' })
  const both = ['memo://one', 'memo://two']
  const follow = async (name: string): Promise<{ token: string, touch: () => Promise<unknown>, heard: () => (string | undefined)[][] }> => {
    const token = await gateway.addUser(name, ['all'])
    const client = await gateway.client('/mcp/listening', token)
    const updated: string[] = []
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => { updated.push(params.uri) })
    for (const uri of both) await client.subscribeResource({ uri })
    const { news } = await listen(t, gateway, token, '/mcp/listening', 1, { resourceSubscriptions: both })
    return { token, touch: async () => await client.callTool({ name: 'touch', arguments: {} }), heard: () => [updated, news.slice(1).map(({ params }) => params.uri)] }
  }
  const [alice, bob] = [await follow('alice'), await follow('bob')]
  const heardTwo = async (times: number): Promise<void> => await until(() => [...alice.heard(), ...bob.heard()].every((uris) => uris.filter((uri) => uri === 'memo://two').length === times))
  await until(async () => /^portcullis_streams 4$/m.test(await (await fetch(gateway.metricsUrl)).text()))
  await alice.touch()
  await heardTwo(1)
  t.same(alice.heard(), [both, both])
  await shrink(gateway, 'alice', alice.token)
  await alice.touch()
  await heardTwo(2)
  t.same(alice.heard(), [[...both, 'memo://two'], [...both, 'memo://two']], 'what she may still read, and nothing of what came before it')
  t.same(bob.heard(), [[...both, ...both], [...both, ...both]], 'who shares the process and may read both hears of both')
})

t.test('a listen that waits for its upstream to start goes by the rights that are left when it has', async (t) => {
  const waits = 'touch /shared/waits; until test -e /shared/go; do sleep 0.05; done; exec node "$0"'
  const gateway = await start(t, {}, { late: { command: ['sh', '-c', waits, join(fixtures, 'listening.mjs')], env: { CALLS: '/shared/calls' }, sandbox: { read: [fixtures], write: [`${join(t.testdirName, 'shared')}:/shared`] } } })
  const token = await gateway.addUser('alice', ['all'])
  const listening = listen(t, gateway, token, '/mcp/late', 1, { resourceSubscriptions: ['memo://one', 'memo://two'] })
  await until(() => existsSync(join(gateway.folder, 'shared', 'waits')))
  await shrink(gateway, 'alice', token)
  writeFileSync(join(gateway.folder, 'shared', 'go'), '')
  const { news } = await listening
  await read(await gateway.post('/mcp/late', token, ...modernTool('touch')))
  await until(() => news.at(-1)?.params.uri === 'memo://two')
  t.same(news.slice(1).map(({ params }) => params.uri), ['memo://two'])
})

t.test('an upstream that is started anew is not asked for what its listener may not read any more', async (t) => {
  const gateway = await start(t)
  for (const [name, user, asking] of [['fixture', 'alice', 'resources/subscribe'], ['listening', 'bob', 'subscriptions/listen']] as const) {
    const token = await gateway.addUser(user, ['all'])
    await listen(t, gateway, token, `/mcp/${name}`, 1, { resourceSubscriptions: ['memo://one', 'memo://two'] })
    await shrink(gateway, user, token)
    const before = gateway.calls().length
    const asked = (uri: string): boolean => gateway.calls().slice(before).some(({ method, params }) => method === asking && JSON.stringify(params).includes(uri))
    for (const tool of ['crash', 'log']) await read(await gateway.post(`/mcp/${name}`, token, ...modernTool(tool)))
    await until(() => asked('memo://two'))
    t.notOk(asked('memo://one'), name)
  }
})

t.test('64: a listen is honoured for what a read would be allowed, conditions included', async (t) => {
  const gateway = await start(t)
  for (const [name, honoured] of [['bob', ['memo://one', 'memo://two']], ['carol', ['memo://two']]] as const) {
    const token = await gateway.addUser(name, ['named'])
    for (const path of ['/mcp/listening', '/mcp']) {
      const { news } = await listen(t, gateway, token, path, 1, { resourceSubscriptions: ['memo://one', 'memo://two'] })
      t.same(news[0]?.params.notifications, { resourceSubscriptions: honoured }, `${name} at ${path}`)
    }
  }
})

t.test('60: an output that is no object is wrapped for the session era, its schema and its value alike', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const wrapped = { type: 'object', properties: { result: { type: 'array', items: { $ref: '#/properties/result/$defs/n' }, $defs: { n: { type: 'number' } } } }, required: ['result'] }
  for (const [path, name] of [['/mcp/listening', 'shapes'], ['/mcp', 'listening__shapes']] as const) {
    const client = await gateway.client(path, token)
    t.same((await client.listTools()).tools.find((tool) => tool.name === name)?.outputSchema, wrapped, path)
    t.match(await client.callTool({ name, arguments: {} }), { structuredContent: { result: [1, 2] }, content: [{ type: 'text', text: '[1,2]' }] }, 'which the client has checked against the schema')
  }
})

t.test('62, 73, 84: what a 2026-07-28 server says about its answers reaches its own era only, and what others added reaches everybody', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token, '2025-11-25', '/mcp/listening')
  const old = await read(await gateway.post('/mcp/listening', token, rpc('tools/list'), session))
  t.same(old.body.result?.['_meta'], { 'example.org/own': 1, 'portcullis/record': (old.body.result?.['_meta'] as Record<string, unknown>)['portcullis/record'] })
  t.notMatch(old.text, /resultType|ttlMs|cacheScope/)
  const recent = await read(await gateway.post('/mcp/listening', token, rpc('tools/list', { _meta: envelope }), modernHeaders('tools/list')))
  t.match(recent.body.result, { resultType: 'complete', cacheScope: 'private', _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'listening' }, 'example.org/own': 1 } }, 'public is not said of what was filtered')
  const meta = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'example.com/own': { a: 1 } }
  await gateway.post('/mcp/listening', token, rpc('tools/call', { name: 'touch', arguments: {}, _meta: meta }), session)
  await gateway.post('/mcp/listening', token, ...modernTool('touch', {}, meta))
  const seen = gateway.calls().filter(({ method }) => method === 'tools/call').map(({ params }) => params['_meta'])
  t.equal(seen.length, 2)
  for (const given of seen) t.match(given, meta)
})

t.test('63: the log level of a 2026-07-28 request is told to a session-era upstream, and heard on that request only', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const call = async (level?: string): Promise<string> => await (await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'log', arguments: {}, _meta: { ...envelope, ...(level === undefined ? {} : { 'io.modelcontextprotocol/logLevel': level }) } } }, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'log' })).text()
  const levels = (): unknown[] => gateway.calls().filter(({ method }) => method === 'logging/setLevel').map(({ params }) => params['level'])
  t.notMatch(await call(), /notifications\/message/, 'none without a level')
  t.same(levels(), [])
  t.match(await call('info'), /notifications\/message/)
  t.match(await call('debug'), /notifications\/message/)
  t.notMatch(await call('error'), /notifications\/message/, 'what is below its level stays away')
  t.same(levels().slice(0, 2), ['info', 'debug'], 'the upstream is told once a level')
  t.match(JSON.parse(await call('loud')), { error: { code: -32602 } }, 'a level that does not exist')
})

t.test('63: the log level of a session goes to a 2026-07-28 upstream with every request', async (t) => {
  const gateway = await start(t)
  const client = await gateway.client('/mcp/listening', await gateway.addUser('alice', ['user']))
  const logged: string[] = []
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => { logged.push(params.level) })
  await client.callTool({ name: 'log', arguments: {} })
  await client.setLoggingLevel('warning')
  await client.callTool({ name: 'log', arguments: {} })
  await until(() => logged.length > 0)
  t.same(logged, ['warning'], 'and nothing before it was asked for')
})

t.test('65: a session has at most 1000 subscriptions', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['all'])
  const session = await openSession(gateway, token, '2025-03-26')
  const send = async (method: string, uri: string): Promise<Awaited<ReturnType<typeof read>>> => await read(await gateway.post('/mcp/fixture', token, rpc(method, { uri }), session))
  const asked = (uri: string): number => gateway.calls().filter(({ method, params }) => method === 'resources/subscribe' && params['uri'] === uri).length
  for (let from = 0; from < 1000; from += 100) {
    await (await gateway.post('/mcp/fixture', token, Array.from({ length: 100 }, (_, i) => rpc('resources/subscribe', { uri: `memo://note/${from + i}` }, from + i)), session)).text()
  }
  t.equal(about(gateway, 'resources/subscribe'), 1000)
  t.match((await send('resources/subscribe', 'memo://note/more')).body.error, { message: /1000 subscriptions/, data: { code: 'PORTCULLIS_OVERLOADED' } })
  t.equal(asked('memo://note/more'), 0, 'the upstream was not asked')
  t.match((await send('resources/subscribe', 'memo://note/7')).body, { result: {} }, 'one that it has is no other one')
  await send('resources/unsubscribe', 'memo://note/7')
  t.match((await send('resources/subscribe', 'memo://note/more')).body, { result: {} }, 'where one ended there is room for another')
})
