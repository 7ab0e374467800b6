import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { keepAliveMs } from '../../src/protocol/sse.ts'
import { round, start } from '../support/asking.ts'
import { fixture, fixtures, startGateway, until } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'
import { envelope, modernHeaders, modernTool, openSession, read, rpc, tool } from '../support/wire.ts'

t.test('32: a stream begins at once, is not buffered on the way, and is kept open', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token)
  const abort = new AbortController()
  const stream = await fetch(`${gateway.url}/mcp/fixture`, { signal: abort.signal, headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', 'accept-encoding': 'gzip, br', ...session } })
  t.equal(stream.status, 200, 'its head is here though nothing was said')
  t.equal(stream.headers.get('x-accel-buffering'), 'no')
  t.equal(stream.headers.get('content-encoding'), null)
  t.match(stream.headers.get('cache-control'), /no-transform/)
  t.ok(keepAliveMs < 30_000)
  abort.abort()
})

t.test('32: whatever is open and quiet says so every quarter of a minute: a GET stream, a listen, a call, and one that was taken up again', async (t) => {
  const folder = t.testdir()
  const gateway = await startGateway(t, { folder, yaml: { upstreams: { fixture: fixture({ shared: join(folder, 'shared'), timeouts: { call: '60s' } }) }, roles: { user: { allow: ['*/*'] } } } })
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token)
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const listen = rpc('subscriptions/listen', { notifications: { toolsListChanged: true }, _meta: envelope })
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const accept = { accept: 'application/json, text/event-stream' }
  const open: Record<string, RequestInit> = {
    'a GET stream': { headers: { ...headers, accept: 'text/event-stream', ...session } },
    'a listen': { method: 'POST', headers: { ...headers, ...accept, ...modernHeaders('subscriptions/listen') }, body: JSON.stringify(listen) },
    'a call': { method: 'POST', headers: { ...headers, ...accept, ...session }, body: JSON.stringify(tool('hang')) },
    'a 2026-07-28 call': { method: 'POST', headers: { ...headers, ...accept, ...modernTool('hang')[1] }, body: JSON.stringify(modernTool('hang')[0]) },
  }
  const lost = new AbortController()
  const { body: first } = await fetch(`${gateway.url}/mcp/fixture`, { ...open['a call'], signal: lost.signal })
  const [, id = ''] = /^id: (\S+)$/m.exec(new TextDecoder().decode((await first?.getReader().read())?.value)) ?? []
  lost.abort()
  open['a call that was taken up again'] = { headers: { ...headers, accept: 'text/event-stream', ...session, 'last-event-id': id } }
  await Promise.all(Object.entries(open).map(async ([name, init]) => {
    const { body, status } = await fetch(`${gateway.url}/mcp/fixture`, { ...init, signal: abort.signal })
    t.equal(status, 200, name)
    let said = ''
    for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      said += chunk
      if (/^: keep-alive$/m.test(said)) break
    }
    t.match(said, /(^|\n)(: keep-alive\n\n)/, `${name} is kept open by a comment of its own`)
  }))
})

t.test('34: who does not read costs a bounded amount, and nobody else anything', async (t) => {
  const gateway = await startGateway(t, { yaml: { upstreams: { fixture: { command: ['node', join(fixtures, 'upstream.mjs')], timeouts: { call: '60s' } } }, roles: { user: { allow: ['*/*'] } } } })
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token)
  const other = await openSession(gateway, token)
  const body = JSON.stringify(rpc('tools/call', { name: 'flood', arguments: { count: 3000, bytes: 10_000 }, _meta: { progressToken: 'slow' } }))
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.pause()
  socket.write(`POST /mcp/fixture HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\nmcp-session-id: ${session['mcp-session-id']}\r\naccept: text/event-stream, application/json\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`)
  await until(async () => (await gateway.rows({ tool: 'flood', kind: 'call' })).length === 1)
  t.match((await read(await gateway.post('/mcp/fixture', token, tool('echo', { text: 'mine' }), other))).body.result, { content: [{ text: 'mine' }] }, 'another session of the same process is served meanwhile')
  await until(async () => (await gateway.rows({ tool: 'flood', outcome: 'ok' })).length === 1, 60_000)
  let received = 0
  let tail = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length
    tail = (tail + chunk.toString('latin1')).slice(-400)
  })
  socket.resume()
  await until(() => tail.includes('flooded'), 30_000)
  t.ok(received < 20_000_000, `of 30 MB of progress ${Math.round(received / 1e6)} MB waited for it; the rest was dropped, the answer was not`)
})

t.test('36: a shutdown ends a listen with its result', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const response = await gateway.post('/mcp/fixture', token, rpc('subscriptions/listen', { notifications: { toolsListChanged: true }, _meta: envelope }, 'l-1'), modernHeaders('subscriptions/listen'))
  t.equal(response.status, 200)
  const text = response.text()
  await gateway.gateway.close(5_000)
  const messages = (await text).split('\n').filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6)) as object)
  t.match(messages[0], { method: 'notifications/subscriptions/acknowledged', params: { notifications: { toolsListChanged: true } } }, '64: the acknowledgement is first')
  t.match(messages.at(-1), { id: 'l-1', result: { resultType: 'complete', _meta: { 'io.modelcontextprotocol/subscriptionId': 'l-1' } } })
})

t.test('36: a shutdown says when to come back before it ends a session\'s own stream, to clients that know what that is', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const said: Record<string, Promise<string>> = {}
  for (const version of ['2025-11-25', '2025-06-18']) {
    const response = await fetch(`${gateway.url}/mcp/fixture`, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...await openSession(gateway, token, version) } })
    said[version] = response.text()
  }
  await gateway.gateway.close(5_000)
  t.equal(await said['2025-11-25'], 'retry: 1000\n\n')
  t.equal(await said['2025-06-18'], '', 'a client of before takes an event without data for a message')
})

t.test('36: a call that a shutdown does not wait for ends with an answer, in either era and shape', async (t) => {
  const folder = t.testdir()
  const gateway = await startGateway(t, { folder, yaml: { upstreams: { fixture: fixture({ shared: join(folder, 'shared'), timeouts: { call: '60s' } }) }, roles: { user: { allow: ['*/*'] } } } })
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token)
  const hanging = (): number => gateway.calls().filter(({ params }) => params?.['name'] === 'hang').length
  const calls = {
    'a stream': gateway.post('/mcp/fixture', token, tool('hang'), { ...session }),
    'a body': gateway.post('/mcp/fixture', token, tool('hang'), { ...session, accept: 'application/json' }),
    'a body of 2026-07-28': gateway.post('/mcp/fixture', token, ...modernTool('hang')),
  }
  await calls['a stream'] // its head is here once it has become one
  await until(() => hanging() === 3)
  await gateway.gateway.close(0)
  for (const [shape, sent] of Object.entries(calls)) t.match((await read(await sent)).body, { result: { isError: true, content: [{ text: /stopped before it answered/ }] } }, shape)
})

t.test('61: a result of a 2026-07-28 server that does not say its type is complete', async (t) => {
  const gateway = await startGateway(t, { yaml: { upstreams: { terse: { command: ['node', '-e', terse] } }, roles: { user: { allow: ['*/*'] } } } })
  const token = await gateway.addUser('alice', ['user'])
  const [body, headers] = modernTool('say')
  for (let i = 0; i < 2; i++) t.match((await read(await gateway.post('/mcp/terse', token, body, headers))).body.result, { resultType: 'complete', content: [{ text: 'said' }] })
  t.equal(gateway.log().split('does not say what kind').length - 1, 1, 'and the operator hears of it once')
})

t.test('69: a retry is heard under its own progress token and at its own level', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const send = async (progressToken: string, logLevel: string | undefined, more: object = {}): Promise<Awaited<ReturnType<typeof read>>> => await read(await gateway.post('/mcp/curious', token, rpc('tools/call', { name: 'steps', arguments: {}, ...more, _meta: { ...envelope, 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} }, 'io.modelcontextprotocol/logLevel': logLevel, progressToken } }), modernHeaders('tools/call', 'steps')))
  const { body: { result = {} } } = await send('first', 'error')
  t.match(result, { resultType: 'input_required' })
  const { requestState } = result
  const [key = ''] = Object.keys(result['inputRequests'] as object)
  const second = await send('second', 'debug', { requestState, inputResponses: { [key]: { action: 'accept', content: { colour: 'red' } } } })
  t.match(second.body.result, { content: [{ text: 'red' }] })
  t.match(second.text, /"progressToken":"second"/)
  t.notMatch(second.text, /"progressToken":"first"/)
  t.match(second.text, /"data":"stepped"/, 'what it asked to hear, and the call before it did not')
  const third = (await send('third', 'debug')).body.result ?? {}
  const mute = await send('fourth', undefined, { requestState: third['requestState'], inputResponses: { [Object.keys(third['inputRequests'] as object)[0] ?? '']: { action: 'accept', content: { colour: 'blue' } } } })
  t.match(mute.body.result, { content: [{ text: 'blue' }] })
  t.notMatch(mute.text, /stepped/, 'nor what only the call before it asked for')
})

t.test('70: a state does not outlive the gateway that holds the call', async (t) => {
  const database = await testDatabase(t)
  const env = { PUBLIC_URL: 'https://mcp.example.com' }
  const first = await start(t, {}, { database, env })
  const token = await first.addUser('alice', ['user'])
  const { result } = await round(first, token, 'paint', {}, { args: { what: 'it' } })
  t.equal(result.resultType, 'input_required')
  await first.gateway.close(0)
  const second = await start(t, {}, { database, env, folder: first.folder })
  const again = await round(second, token, 'paint', { requestState: result.requestState, inputResponses: {} }, { args: { what: 'it' } })
  t.match(again, { status: 200, error: { code: -32602, data: { code: 'PORTCULLIS_STATE_EXPIRED' } } })
  t.match(await round(second, token, 'plain'), { result: { content: [{ text: 'plain' }] } }, 'and nothing is blocked')
})

t.test('a result of ten megabytes arrives whole, in either era', async (t) => {
  const folder = t.testdir()
  const gateway = await startGateway(t, { folder, yaml: { guards: { max_result: '12MiB' }, upstreams: { fixture: fixture({ shared: join(folder, 'shared'), timeouts: { call: '60s' } }) }, roles: { user: { allow: ['*/*'] } } } })
  const token = await gateway.addUser('alice', ['user'])
  const bytes = 10 * 1024 * 1024
  const session = await openSession(gateway, token)
  for (const [body, headers] of [[tool('big', { bytes }), { ...session }] as const, modernTool('big', { bytes })]) {
    const { body: { result } } = await read(await gateway.post('/mcp/fixture', token, body, headers))
    t.equal(result?.content?.[0]?.text.length, bytes)
  }
})

const terse = `require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method } = JSON.parse(line)
  const results = {
    'server/discover': { supportedVersions: ['2026-07-28'], capabilities: { tools: {} } },
    'tools/list': { tools: [{ name: 'say', inputSchema: { type: 'object' } }] },
    'tools/call': { content: [{ type: 'text', text: 'said' }] },
  }
  if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, ...(results[method] ? { result: results[method] } : { error: { code: -32601, message: 'no' } }) }))
})`
