import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import t from 'tap'
import type { Test } from 'tap'
import { startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

interface Message { readonly id?: number, readonly method?: string, readonly params?: { name?: string, arguments?: { text?: string } } }
type Answer = (message: Message, response: ServerResponse, request: IncomingMessage) => object | undefined

const textOf = (result: unknown): string => (result as { content: { text: string }[] }).content[0]?.text ?? ''
const say = (text: string): object => ({ content: [{ type: 'text', text }], resultType: 'complete' })
const tools = (...names: string[]): object => ({ tools: names.map((name) => ({ name, inputSchema: { type: 'object' } })), ttlMs: 0, cacheScope: 'private', resultType: 'complete' })
const event = (message: object): string => `event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`

/** A remote server by hand, since those of the SDK break no stream. An answer that is undefined was written, or will be. */
async function remote (t: Test, answer: Answer, { timeouts = { call: '20s' }, ...yaml }: { timeouts?: object, guards?: object } = {}): Promise<{ gateway: TestGateway, token: string }> {
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => { text += chunk.toString() }).on('end', () => {
      const message = JSON.parse(text === '' ? '{}' : text) as Message
      const result = answer(message, response, request)
      if (result !== undefined) response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id: message.id, ...result }))
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const gateway = await startGateway(t, { yaml: { upstreams: { remote: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, timeouts } }, roles: { user: { allow: ['*/*'] } }, ...yaml } })
  return { gateway, token: await gateway.addUser('alice', ['user']) }
}

/** Begins an event stream, whose head is on its way at once. */
function stream (response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.flushHeaders()
}

/** A server of 2026-07-28 that has these tools, tells of changes, and does what the test says with the rest. */
function modern (list: () => string[], more: Answer): Answer {
  return (message, response, request) => {
    if (message.method === 'server/discover') return { result: { supportedVersions: ['2026-07-28'], capabilities: { tools: { listChanged: true } }, ttlMs: 0, cacheScope: 'private', resultType: 'complete' } }
    if (message.method === 'initialize') return { error: { code: -32601, message: 'Method not found' } }
    if (message.method === 'tools/list') return { result: tools(...list()) }
    return more(message, response, request)
  }
}

const acknowledge = (response: ServerResponse, id: unknown): void => {
  stream(response)
  response.write(event({ method: 'notifications/subscriptions/acknowledged', params: { notifications: { toolsListChanged: true }, _meta: { 'io.modelcontextprotocol/subscriptionId': id } } }))
}

t.test('a stream that breaks ends its own call and no other', async (t) => {
  let finish = (): void => {}
  let starts = 0
  const { gateway, token } = await remote(t, modern(() => ['slow', 'broken'], ({ id, method, params }, response) => {
    if (method === 'subscriptions/listen') {
      starts++
      acknowledge(response, id)
    } else if (params?.name === 'slow') {
      stream(response)
      finish = () => response.end(event({ id, result: say('slow') }))
    } else {
      stream(response)
      setTimeout(() => response.destroy(), 50)
    }
    return undefined
  }))
  const client = await gateway.client('/mcp/remote', token)
  const nothing = finish
  const slow = client.callTool({ name: 'slow', arguments: {} })
  await until(() => finish !== nothing)
  await t.rejects(client.callTool({ name: 'broken', arguments: {} }), /connection to the remote server broke/)
  finish()
  t.equal(textOf(await slow), 'slow')
  t.equal(starts, 1, 'and the server is still the one that was begun with')
})

t.test('65, 80: a listen that the server loses or ends is begun anew, and clients hear what they may have missed', async (t) => {
  const names = ['first']
  const listens: ServerResponse[] = []
  const { gateway, token } = await remote(t, modern(() => names, ({ id }, response) => {
    acknowledge(response, id)
    listens.push(response)
    if (listens.length === 3) response.end(event({ id, result: { resultType: 'complete' } }))
    return undefined
  }))
  const client = await gateway.client('/mcp/remote', token)
  let changed = 0
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => { changed++ })
  for (const [end, name] of [[() => listens[0]?.destroy(), 'broken off'], [() => listens[1]?.end(), 'ended'], [() => {}, 'ended by its result']] as const) {
    const before = changed
    names.push(`tool ${names.length}`)
    end()
    await until(() => changed > before)
    t.equal((await client.listTools()).tools.length, names.length, name)
  }
  t.equal(listens.length, 4)
  t.equal((await gateway.rows({ kind: 'upstream', outcome: 'crashed' })).length, 0)
})

t.test('a server that does not know listens is not asked again', async (t) => {
  let asked = 0
  const { gateway, token } = await remote(t, modern(() => ['echo'], ({ method }) => {
    if (method !== 'subscriptions/listen') return { result: say('x') }
    asked++
    return { error: { code: -32601, message: 'Method not found' } }
  }))
  const client = await gateway.client('/mcp/remote', token)
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  t.equal(textOf(await client.callTool({ name: 'echo', arguments: {} })), 'x')
  t.equal(asked, 1)
})

t.test('29: a server of 2025-11-25 that closes a stream before it answered is asked for the rest', async (t) => {
  const resumed: unknown[] = []
  const { gateway, token } = await remote(t, ({ id, method }, response, request) => {
    const last = request.headers['last-event-id']
    if (request.method === 'GET' && last === undefined) response.writeHead(405).end()
    else if (request.method === 'GET') {
      resumed.push(last)
      stream(response)
      if (resumed.length === 1) {
        response.write('id: e2\ndata: \n\n')
        setTimeout(() => response.destroy(), 20)
      } else response.end(`id: e3\n${event({ id: call, result: say('at last') })}`)
    } else if (method === 'initialize') {
      response.setHeader('mcp-session-id', 's')
      return { result: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'polled', version: '1' } } }
    } else if (method === 'tools/list') return { result: tools('poll') }
    else if (method === 'tools/call') {
      call = id
      stream(response)
      response.end('id: e1\nretry: 150\ndata: \n\n')
    } else response.writeHead(202).end()
    return undefined
  })
  const client = await gateway.client('/mcp/remote', token)
  t.equal(textOf(await client.callTool({ name: 'poll', arguments: {} })), 'at last')
  t.same(resumed, ['e1', 'e2'], 'from where it was')
})
let call: number | undefined

/** A server of the session era that forgets its sessions when it is told to, with what each of them heard. */
function forgetful (): { answer: Answer, forget: () => void, heard: { session: number, method: string | undefined, name: string | undefined }[], held: (() => void)[], capabilities: object } {
  const state = { heard: [] as ReturnType<typeof forgetful>['heard'], held: [] as (() => void)[], capabilities: { tools: { listChanged: true }, resources: { subscribe: true } } as object }
  let current = 0
  let known = false
  const answer: Answer = (message, response, request) => {
    const { id, method, params } = message
    if (request.method === 'GET' || request.method === 'DELETE') {
      response.writeHead(405).end()
      return undefined
    }
    if (method === 'initialize') {
      known = true
      response.setHeader('mcp-session-id', `s${++current}`)
      state.heard.push({ session: current, method, name: undefined })
      return { result: { protocolVersion: '2025-11-25', capabilities: state.capabilities, serverInfo: { name: 'forgetful', version: '1' } } }
    }
    if (!known || request.headers['mcp-session-id'] !== `s${current}`) {
      response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null }))
      return undefined
    }
    state.heard.push({ session: current, method, name: params?.name })
    if (method === 'tools/list') return { result: tools('add', 'hold') }
    if (method === 'resources/list') return { result: { resources: [{ uri: 'mem://one', name: 'one' }] } }
    if (method === 'resources/subscribe') return { result: {} }
    if (params?.name === 'add') return { result: say('added') }
    if (params?.name === 'hold') {
      stream(response)
      state.held.push(() => response.end(event({ id, result: say('held') })))
    } else response.writeHead(202).end()
    return undefined
  }
  return { answer, forget: () => { known = false }, ...state }
}

t.test('a server that forgot the session is given another one, and what it refused is sent again, once', async (t) => {
  const server = forgetful()
  const { gateway, token } = await remote(t, server.answer)
  const client = await gateway.client('/mcp/remote', token)
  await client.subscribeResource({ uri: 'mem://one' })
  const held = client.callTool({ name: 'hold', arguments: {} })
  await until(() => server.held.length === 1)
  server.forget()
  const answers = await Promise.all(['add', 'add', 'add'].map(async (name) => await client.callTool({ name, arguments: {} })))
  t.same(answers.map(textOf), ['added', 'added', 'added'])
  server.held[0]?.()
  t.equal(textOf(await held), 'held', 'what was under way gets its own answer')
  const count = (wanted: object): number => server.heard.filter((entry) => Object.entries(wanted).every(([key, value]) => entry[key as keyof typeof entry] === value)).length
  t.equal(count({ method: 'initialize' }), 2, 'however many calls were refused')
  t.equal(count({ session: 2, method: 'notifications/initialized' }), 1)
  t.equal(count({ name: 'add' }), 3)
  t.equal(count({ name: 'hold' }), 1, 'what may have been carried out is not sent again')
  t.equal(count({ session: 2, method: 'resources/subscribe' }), 1, 'what counted in the session counts in the next')
  t.equal((await gateway.rows({ kind: 'upstream', outcome: 'crashed' })).length, 0)
})

t.test('a server that comes back as another one is begun with anew', async (t) => {
  const server = forgetful()
  const { gateway, token } = await remote(t, server.answer)
  const client = await gateway.client('/mcp/remote', token)
  t.equal(textOf(await client.callTool({ name: 'add', arguments: {} })), 'added')
  server.forget()
  Object.assign(server.capabilities, { prompts: {} })
  t.match(await client.callTool({ name: 'add', arguments: {} }), { isError: true, content: [{ text: /stopped before it answered/ }] })
  t.equal(server.heard.filter(({ name }) => name === 'add').length, 1, 'nothing is sent to what may understand it differently')
})

t.test('a server that refuses the session it has just begun fails that call, not for ever', async (t) => {
  const server = forgetful()
  const { gateway, token } = await remote(t, (message, response, request) => {
    if (message.params?.name === 'add') server.forget()
    return server.answer(message, response, request)
  })
  const client = await gateway.client('/mcp/remote', token)
  await t.rejects(client.callTool({ name: 'add', arguments: {} }), /Session not found/)
  t.equal(server.heard.filter(({ method }) => method === 'initialize').length, 2)
})

for (const [name, timeouts] of Object.entries({ 'while a call waits for it': { start: '2s', call: '20s' }, 'after the call was given up': { start: '2s', call: '1s' } })) {
  t.test(`a server that forgot the session and does not answer for another one is begun with anew, ${name}`, async (t) => {
    const server = forgetful()
    let swallowed = 0
    let isDeaf = false
    const { gateway, token } = await remote(t, (message, response, request) => {
      if (!isDeaf || message.method !== 'initialize') return server.answer(message, response, request)
      swallowed++
      return undefined
    }, { timeouts })
    const client = await gateway.client('/mcp/remote', token)
    t.equal(textOf(await client.callTool({ name: 'add', arguments: {} })), 'added')
    isDeaf = true
    server.forget()
    t.match(await client.callTool({ name: 'add', arguments: {} }), { isError: true })
    isDeaf = false
    t.equal(swallowed, 1)
    await until(async () => textOf(await client.callTool({ name: 'add', arguments: {} })) === 'added')
    t.match((await gateway.rows({ kind: 'upstream', outcome: 'crashed' })), [{}], 'what waited for it in vain has ended')
    t.match(gateway.log(), 'did not begin another in time')
  })
}

t.test('a server of the session era whose stream breaks, and that is away for a while, is listened to again, when it said', async (t) => {
  const gets: number[] = []
  const listens: ServerResponse[] = []
  const { gateway, token } = await remote(t, ({ method }, response, request) => {
    if (request.method === 'GET') {
      if (gets.push(Date.now()) === 2) response.writeHead(503).end()
      else {
        stream(response)
        response.write('retry: 1500\n\n')
        listens.push(response)
      }
    } else if (method === 'initialize') return { result: { protocolVersion: '2025-11-25', capabilities: { tools: { listChanged: true } }, serverInfo: { name: 'deployed', version: '1' } } }
    else if (method === 'tools/list') return { result: tools('echo') }
    else response.writeHead(202).end()
    return undefined
  })
  const client = await gateway.client('/mcp/remote', token)
  let changed = 0
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => { changed++ })
  await client.listTools()
  await until(() => listens.length === 1)
  const broken = Date.now()
  listens[0]?.end()
  await until(() => listens.length === 2, 20_000)
  t.ok((gets[1] ?? 0) - broken >= 1_400, 'not before it said')
  t.equal(gets.length, 3)
  const before = changed
  listens[1]?.write(event({ method: 'notifications/tools/list_changed' }))
  await until(() => changed > before)
  t.pass('and heard')
})

t.test('what a call may say to a server is not bounded by what the server may answer', async (t) => {
  const { gateway, token } = await remote(t, modern(() => ['length'], ({ method, params }) => method === 'tools/call' ? { result: say(String(params?.arguments?.text?.length)) } : { error: { code: -32601, message: 'Method not found' } }), { guards: { max_result: '256KiB' } })
  const client = await gateway.client('/mcp/remote', token)
  t.equal(textOf(await client.callTool({ name: 'length', arguments: { text: 'x'.repeat(600 * 1024) } })), String(600 * 1024))
})
