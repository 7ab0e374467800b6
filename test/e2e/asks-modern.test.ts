import t from 'tap'
import { accept, answers, legacyClient, modernClient, round, start, textOf } from '../support/asking.ts'
import { envelope, modernHeaders, openSession, read, rpc } from '../support/wire.ts'

t.test('a 2026-07-28 upstream asks a client of the session era on the stream of its call', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const seen: string[] = []
  const client = await legacyClient(t, gateway, token, '/mcp/asker', ({ message }) => { seen.push(message); return message === 'Which colour for no?' ? { action: 'decline' } : accept('blue') })
  t.equal(textOf(await client.callTool({ name: 'paint', arguments: { what: 'it' } })), 'it is blue (state of it)', 'its state comes back to it byte for byte')
  t.equal(textOf(await client.callTool({ name: 'paint', arguments: { what: 'no' } })), 'no stays as it is: decline')
  t.match(JSON.parse(textOf(await client.callTool({ name: 'everything', arguments: {} }))), { form: { action: 'accept' }, url: { action: 'accept' }, model: { content: { text: 'hello' } }, roots: { roots: [{ uri: 'file:///here' }] } })
  t.match(await client.callTool({ name: 'again', arguments: {} }), { isError: true }, 'one that is never content is not asked for ever')
  t.equal((await gateway.rows({ kind: 'answer', tool: 'paint' })).length, 2)

  await t.test('57: without a session that can be asked there is an answer, never a hang', async (t) => {
    const mute = await legacyClient(t, gateway, token, '/mcp/asker', () => accept('x'), {})
    t.match(await mute.callTool({ name: 'paint', arguments: { what: 'it' } }), { isError: true })
    const once = await (await gateway.post('/mcp/asker', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'paint', arguments: {} } })).json()
    t.match(once, { error: { data: { code: 'PORTCULLIS_SESSION_REQUIRED' } } })
  })
})

t.test('82, T31: between a client and an upstream of 2026-07-28 questions pass, and a state serves its owner only', async (t) => {
  const gateway = await start(t)
  const [alice, mallory] = [await gateway.addUser('alice', ['user']), await gateway.addUser('mallory', ['user'])]
  for (const path of ['/mcp/asker', '/mcp']) {
    const client = await modernClient(t, gateway, alice, path, () => accept('blue'))
    t.equal(textOf(await client.callTool({ name: path === '/mcp' ? 'asker__paint' : 'paint', arguments: { what: 'it' } })), 'it is blue (state of it)', path)
  }
  const options = { args: { what: 'a' }, upstream: 'asker' }
  const asked = await round(gateway, alice, 'paint', {}, options)
  t.same(Object.keys(asked.result.inputRequests), ['colour'], 'under the upstream\'s own key')
  t.notMatch(asked.result.requestState, 'state of a')
  const more = answers(asked, 'red')
  t.match(await round(gateway, mallory, 'paint', more, options), { error: { code: -32602 } })
  t.match(await round(gateway, alice, 'paint', more, { ...options, args: { what: 'b' } }), { error: { code: -32602 } })
  t.match(await round(gateway, alice, 'paint', { ...more, requestState: 'state of b' }, options), { error: { code: -32602 } }, 'a state the upstream never gave is not passed on')
  t.equal(textOf((await round(gateway, alice, 'paint', more, options)).result), 'a is red (state of a)')
})

t.test('53: answers and states are of 2026-07-28, and a client of the session era cannot bring them past their seal', async (t) => {
  const gateway = await start(t)
  const [alice, mallory] = [await gateway.addUser('alice', ['user']), await gateway.addUser('mallory', ['user'])]
  const asked = await round(gateway, alice, 'paint', {}, { args: { what: 'a' }, upstream: 'asker' })
  const [sealed = ''] = asked.result.requestState.split('.')
  const { state } = (JSON.parse(Buffer.from(sealed, 'base64url').toString()) as [number, { state: string }])[1]
  t.equal(state, 'state of a', 'the upstream\'s own state can be read')
  const more = { ...answers(asked, 'red'), requestState: state }
  for (const [upstream, seen] of [['asker', /cannot give/], ['curious', /did not say/]] as const) {
    const session = await openSession(gateway, mallory, '2025-11-25', `/mcp/${upstream}`)
    const { body } = await read(await gateway.post(`/mcp/${upstream}`, mallory, rpc('tools/call', { name: 'paint', arguments: { what: 'b' }, ...more }), session))
    t.match(body.result, { isError: true, content: [{ text: seen }] }, `${upstream}: it asks, as if nothing had been answered`)
  }
})

t.test('a retry that leaves while its upstream starts anew ends nobody else\'s call', async (t) => {
  const gateway = await start(t, { env: { START_MS: '1500' } })
  const token = await gateway.addUser('alice', ['user'])
  const asked = await round(gateway, token, 'paint', {}, { args: { what: 'it' } })
  t.equal(asked.result.resultType, 'input_required')
  t.match(await round(gateway, token, 'die'), { result: { isError: true } })
  const other = round(gateway, token, 'slow', {}, { args: { ms: 800 } }) // the first of the new process, as the question was of the old: their ids are the same
  const leaving = new AbortController()
  const retry = fetch(`${gateway.url}/mcp/curious`, {
    method: 'POST',
    signal: leaving.signal,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...modernHeaders('tools/call', 'paint') },
    body: JSON.stringify(rpc('tools/call', { name: 'paint', arguments: { what: 'it' }, ...answers(asked, 'red'), _meta: { ...envelope, 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } } })),
  })
  setTimeout(() => leaving.abort(), 500)
  await t.rejects(retry)
  t.match(await other, { result: { content: [{ text: 'slow' }] } })
})
