import { setTimeout } from 'node:timers/promises'
import { ElicitationCompleteNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import t from 'tap'
import { accept, answers, legacyClient, modernClient, round, start, textOf } from '../support/asking.ts'
import type { Answer, Form } from '../support/asking.ts'
import { until } from '../support/gateway.ts'

t.test('52: a real server of the session era asks in mid-call, a real 2026-07-28 client answers', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const seen: string[] = []
  const client = await modernClient(t, gateway, token, '/mcp/curious', ({ message }) => { seen.push(message); return accept('blue') })
  t.equal(textOf(await client.callTool({ name: 'paint', arguments: { what: 'the door' } })), 'the door is blue')
  t.equal(textOf(await client.callTool({ name: 'twice', arguments: {} })), 'blue then blue')
  t.equal(textOf(await client.callTool({ name: 'three', arguments: {} })), 'blue,blue,blue')
  t.same(seen, ['Which colour for the door?', 'First?', 'Second?', 'one', 'two', 'three'])

  await t.test('on the aggregated endpoint the person reads which upstream asks', async (t) => {
    const merged = await modernClient(t, gateway, token, '/mcp', ({ message }) => { seen.push(message); return { action: 'decline' } })
    t.equal(textOf(await merged.callTool({ name: 'curious__paint', arguments: { what: 'the roof' } })), 'the roof stays as it is: decline')
    t.equal(seen.at(-1), '[curious] Which colour for the roof?')
  })

  await t.test('what was asked and what was answered is on the record', async (t) => {
    t.match((await gateway.rows({ kind: 'ask' }))[0], { principal: 'alice', upstream: 'curious', tool: 'paint', method: 'elicitation/create', decision: 'allow', arguments: { message: 'Which colour for the door?' } })
    const retry = (await gateway.rows({ kind: 'call', tool: 'paint' }))[1]
    t.match(retry, { outcome: 'ok', arguments: { inputResponses: { 'ask-1': { action: 'accept', content: { colour: 'blue' } } } } })
  })
})

t.test('52, 42: a call that waits for a person holds nobody else up', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const [first, second] = [await round(gateway, token, 'paint', {}, { args: { what: 'a' } }), await round(gateway, token, 'paint', {}, { args: { what: 'b' } })]
  t.equal(textOf((await round(gateway, token, 'plain')).result), 'plain')
  t.equal(textOf((await round(gateway, token, 'paint', answers(second, 'red'), { args: { what: 'b' } })).result), 'b is red')
  t.equal(textOf((await round(gateway, token, 'paint', answers(first, 'green'), { args: { what: 'a' } })).result), 'a is green')
})

t.test('53, T31: a requestState is good for one retry of the very call it came from', async (t) => {
  const gateway = await start(t)
  const [alice, mallory] = [await gateway.addUser('alice', ['user']), await gateway.addUser('mallory', ['user'])]
  const args = { what: 'a' }
  const asked = await round(gateway, alice, 'paint', {}, { args })
  const more = answers(asked, 'red') as { requestState: string, inputResponses: Record<string, Answer> }
  const expired = { error: { code: -32602, data: { code: 'PORTCULLIS_STATE_EXPIRED' } } }
  t.match(await round(gateway, mallory, 'paint', more, { args }), expired, 'of another principal')
  t.match(await round(gateway, alice, 'paint', more, { args: { what: 'b' } }), expired, 'with other arguments')
  t.match(await round(gateway, alice, 'twice', more), expired, 'of another tool')
  t.match(await round(gateway, alice, 'paint', { ...more, requestState: `${more.requestState.slice(0, -1)}${more.requestState.endsWith('A') ? 'B' : 'A'}` }, { args }), expired, 'altered')
  t.match(await round(gateway, alice, 'paint', { ...more, requestState: 'x' }, { args }), expired, 'invented')
  t.match(await round(gateway, alice, 'paint', { inputResponses: more.inputResponses }, { args }), { result: { resultType: 'input_required' } }, 'missing: the question is asked anew')
  t.equal(textOf((await round(gateway, alice, 'paint', more, { args })).result), 'a is red', 'and none of it spoilt the call')
  t.match(await round(gateway, alice, 'paint', more, { args }), expired, 'used again')
})

t.test('54: several questions come together, and what was not answered is asked again', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const asked = await round(gateway, token, 'three')
  t.same(Object.values(asked.result.inputRequests).map(({ params }) => params.message), ['one', 'two', 'three'])
  const again = await round(gateway, token, 'three', { requestState: asked.result.requestState, inputResponses: { 'ask-1': accept('x'), 'ask-2': 'no object' } })
  t.same(Object.keys(again.result.inputRequests), ['ask-2', 'ask-3'])
  t.equal(textOf((await round(gateway, token, 'three', answers(again, 'y'))).result), 'x,y,y')
})

t.test('55, 56: what the client cannot be asked ends the call, and says what it takes', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const lacking = async (name: string, args: object, capabilities: object, requiredCapabilities: object): Promise<void> => {
    t.match(await round(gateway, token, name, {}, { args, capabilities }), { status: 400, error: { code: -32021, data: { requiredCapabilities } } }, `${name} ${JSON.stringify(capabilities)}`)
  }
  await lacking('paint', { what: 'a' }, {}, { elicitation: { form: {} } })
  await lacking('paint', { what: 'a' }, { elicitation: { url: {} } }, { elicitation: { form: {} } })
  await lacking('visit', { url: 'https://example.com/' }, { elicitation: {} }, { elicitation: { url: {} } })
  const bare = await round(gateway, token, 'paint', {}, { args: { what: 'a' }, capabilities: { elicitation: {} } })
  t.equal(bare.result.resultType, 'input_required', 'an empty capability means forms')
})

t.test('58: a server that wants a URL to be visited first gets it visited, and is called again', async (t) => {
  const gateway = await start(t)
  const client = await modernClient(t, gateway, await gateway.addUser('alice', ['user']), '/mcp/curious', ({ url }) => { t.equal(url, 'https://example.com/link'); return { action: 'accept' } })
  t.equal(textOf(await client.callTool({ name: 'linked', arguments: {} })), 'linked')
})

t.test('T57, T58: what must not be asked never reaches a client', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const seen: string[] = []
  const modern = await modernClient(t, gateway, token, '/mcp/curious', ({ message }) => { seen.push(message); return accept('x') })
  const legacy = await legacyClient(t, gateway, token, '/mcp/curious', ({ message }) => { seen.push(message); return accept('x') })
  for (const client of [modern, legacy]) {
    for (const url of ['javascript:alert(1)', 'file:///etc/passwd', 'http://example.com/', 'https://user:secret@example.com/']) t.match(textOf(await client.callTool({ name: 'visit', arguments: { url } })), '"error"', url)
    t.match(textOf(await client.callTool({ name: 'password', arguments: {} })), 'must not ask')
    t.match(textOf(await client.callTool({ name: 'sample', arguments: {} })), 'error', 'sampling is not offered unless the configuration says so')
    t.match(textOf(await client.callTool({ name: 'roots', arguments: {} })), 'error')
  }
  t.same(seen, [])
  t.ok((await gateway.rows({ kind: 'ask', decision: 'deny' })).length >= 10)
})

t.test('legacy to legacy: questions travel on the stream of their call, answers walk the guards', async (t) => {
  const gateway = await start(t, { asks: ['elicitation', 'sampling', 'roots'] })
  const token = await gateway.addUser('alice', ['user'])
  const colours = ['blue', 'rm -rf /']
  const client = await legacyClient(t, gateway, token, '/mcp/curious', () => accept(colours.shift() ?? 'grey'))
  t.equal(textOf(await client.callTool({ name: 'paint', arguments: { what: 'the door' } })), 'the door is blue')
  t.match(await client.callTool({ name: 'paint', arguments: { what: 'it' } }), { isError: true }, 'an answer that a deny pattern matches is not passed on')
  t.match(textOf(await client.callTool({ name: 'sample', arguments: {} })), 'hello')
  t.match(textOf(await client.callTool({ name: 'roots', arguments: {} })), 'file:///here')
  t.match(await gateway.rows({ kind: 'answer' }), [{ decision: 'allow', arguments: { result: { action: 'accept' } } }, { decision: 'deny', rule: 'destructive-command' }, { method: null }, { method: null }])

  await t.test('a client that was sent to a URL hears when that is done, and of no other URL', async (t) => {
    const done: string[] = []
    client.setNotificationHandler(ElicitationCompleteNotificationSchema, ({ params }) => { done.push(params.elicitationId) })
    await client.callTool({ name: 'visit', arguments: { url: 'https://example.com/visit' } })
    await until(() => done.length > 0)
    t.same(done, ['e1'])
    const other = await legacyClient(t, gateway, token, '/mcp/curious', () => accept('x'))
    other.setNotificationHandler(ElicitationCompleteNotificationSchema, ({ params }) => { done.push(`other ${params.elicitationId}`) })
    await client.callTool({ name: 'visit', arguments: { url: 'https://example.com/visit' } })
    await until(() => done.length > 1)
    t.same(done, ['e1', 'e1'], 'a session that was not asked hears nothing')
  })

  await t.test('56: a client that cannot be asked gets the server\'s own answer', async (t) => {
    const mute = await legacyClient(t, gateway, token, '/mcp/curious', () => accept('x'), {})
    t.match(await mute.callTool({ name: 'paint', arguments: { what: 'it' } }), { isError: true })
  })
})

t.test('42: of two calls at once the question finds its own; those after it take turns', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  const asker = await legacyClient(t, gateway, token, '/mcp/curious', () => accept('blue'))
  const other = await legacyClient(t, gateway, token, '/mcp/curious', () => t.fail('asked for somebody else\'s call') as never)
  const slow = other.callTool({ name: 'slow', arguments: { ms: 300 } })
  t.equal(textOf(await asker.callTool({ name: 'paint', arguments: { what: 'it' } })), 'it is blue')
  t.equal(textOf(await slow), 'slow')
  const both = await Promise.all(['a', 'b', 'c'].map(async (what) => textOf(await asker.callTool({ name: 'paint', arguments: { what } }))))
  t.same(both, ['a is blue', 'b is blue', 'c is blue'])
})

t.test('T32, T34, 16, 37, 43: two people, 200 calls with id 1 and one progress token, all asked: nothing crosses', async (t) => {
  const gateway = await start(t, { asks: ['elicitation'] })
  const people = await Promise.all(['alice', 'bob'].map(async (name) => ({ name, token: await gateway.addUser(name, ['user']) })))
  const results = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const { name, token } = people[i % 2] ?? { name: '', token: '' }
    const args = { what: `${name} ${i}` }
    let reply = await round(gateway, token, 'paint', {}, { args })
    if (reply.result?.resultType !== 'input_required') return { name, ok: reply.error?.data['code'] === 'PORTCULLIS_OVERLOADED', text: JSON.stringify(reply) }
    const asked = Object.values(reply.result.inputRequests)[0]?.params.message
    reply = await round(gateway, token, 'paint', answers(reply, name), { args })
    return { name, ok: asked === `Which colour for ${name} ${i}?` && textOf(reply.result) === `${name} ${i} is ${name}`, text: `${asked} ${JSON.stringify(reply)}` }
  }))
  t.same(results.filter(({ ok }) => !ok), [])
  t.ok(results.filter(({ text }) => text.includes(' is ')).length > 60, 'and most were served')
  t.equal((await gateway.rows({ kind: 'ask' })).filter(({ principal, arguments: args }) => !(args as Form).message.includes(String(principal))).length, 0)
})

t.test('a shutdown tells the upstream that nobody will answer, and does not wait for it', async (t) => {
  const gateway = await start(t)
  const token = await gateway.addUser('alice', ['user'])
  await round(gateway, token, 'paint', {}, { args: { what: 'a' } })
  let closed = false
  void gateway.gateway.close(60_000).then(() => { closed = true })
  await until(() => closed, 20_000)
  t.pass('closed')
})

t.test('legacy to legacy: a call has a person\'s time until the last of its questions is over', async (t) => {
  const gateway = await start(t, { timeouts: { call: '2s' } })
  const token = await gateway.addUser('alice', ['user'])
  let answered = 0
  const client = await legacyClient(t, gateway, token, '/mcp/curious', async ({ message }) => {
    if (message === 'Which?') return await new Promise(() => {})
    if (message === 'one') answered++
    else await until(() => answered > 0)
    if (message === 'two') await setTimeout(3_000) // a person types for longer than a call may take
    return accept(message)
  })
  t.equal(textOf(await client.callTool({ name: 'three', arguments: {} })), 'one,two,three')

  await t.test('a question that is taken back leaves the call its own time', async (t) => {
    const result = await client.callTool({ name: 'regret', arguments: {} }, undefined, { timeout: 20_000 }).catch(String)
    t.match(result, { isError: true, _meta: { 'portcullis/refusal': { code: 'PORTCULLIS_TIMEOUT' } } })
  })
})
