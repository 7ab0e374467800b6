import t from 'tap'
import { startGateway, until } from '../support/gateway.ts'
import type { Row, TestGateway } from '../support/gateway.ts'

interface Result { content: { text: string }[], isError?: boolean, _meta: Record<string, unknown> }

const textOf = (result: unknown): string | undefined => (result as Result).content[0]?.text
const recordOf = (result: unknown): string => String((result as Result)._meta['portcullis/record'])
const refusalOf = (result: unknown): Row => (result as Result)._meta['portcullis/refusal'] as Row

async function rowOf (gateway: TestGateway, record: unknown): Promise<Row> {
  const rows = await gateway.rows({ record })
  return rows[0] ?? {}
}

t.test('every way a call can end is answered and on the record', async (t) => {
  const gateway = await startGateway(t, { yaml: { limits: [{ calls: 1000, per: 'hour', by: ['user', 'tool'] }, { tool: 'fixture/sleep', calls: 2, per: 'minute', by: ['user'] }] } })
  const token = await gateway.addUser('alice', ['user'])
  const client = await gateway.client('/mcp/fixture', token)
  const call = async (name: string, args: Record<string, unknown> = {}): Promise<unknown> => await client.callTool({ name, arguments: args })
  const forwarded = (name: string): number => gateway.calls().filter(({ method, params }) => method === 'tools/call' && params['name'] === name).length

  await t.test('an allowed call reaches the server and comes back', async (t) => {
    const result = await call('echo', { text: 'hello' })
    t.equal(textOf(result), 'hello')
    t.match(await rowOf(gateway, recordOf(result)), {
      kind: 'call',
      principal: 'alice',
      client: 'test-client/1.0.0',
      source: '127.0.0.1',
      era: '2025-11-25',
      method: 'tools/call',
      upstream: 'fixture',
      tool: 'echo',
      arguments: { text: 'hello' },
      digest: /^sha256:[0-9a-f]{64}$/,
      decision: 'allow',
      rule: /^user:0 fixture\/\*/,
      outcome: 'ok',
      bytes_in: /\d+/,
      bytes_out: /\d+/,
      policy: /^[0-9a-f]{12}$/,
    })
  })

  await t.test('72: a denied tool and an unknown one cannot be told apart, but the record can', async (t) => {
    const denied = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'secret', arguments: {} } }, await sessionHeaders(gateway, token))
    const unknown = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'sicret', arguments: {} } }, await sessionHeaders(gateway, token))
    t.equal(denied.status, 200)
    t.equal(unknown.status, 200)
    const [one, two] = [await denied.json(), await unknown.json()] as { error: { code: number, message: string, data: Row } }[]
    t.equal(one?.error.code, -32602)
    const blank = (error: unknown): string => JSON.stringify(error).replace(/s[ei]cret/g, 'x').replace(/"record":"[^"]+"/, '')
    t.equal(blank(one), blank(two))
    t.match(await rowOf(gateway, one?.error.data['record']), { kind: 'refusal', decision: 'deny', rule: /fixture\/secret/, tool: 'secret', code: 'PORTCULLIS_UNKNOWN_TARGET', outcome: 'refused' })
    t.match(await rowOf(gateway, two?.error.data['record']), { kind: 'refusal', decision: 'deny', rule: 'not listed' })
    t.notOk((await client.listTools()).tools.some(({ name }) => name === 'secret'), 'a denied tool is not listed')
    t.equal(forwarded('secret') + forwarded('sicret'), 0)
  })

  await t.test('arguments that do not fit the schema come back as a sentence a model can use', async (t) => {
    const result = await call('add', { a: 1, b: 'two', c: 3 })
    t.match(result, { isError: true })
    t.match(textOf(result), /\/b must be a number/)
    t.match(await rowOf(gateway, recordOf(result)), { kind: 'refusal', code: 'PORTCULLIS_INVALID_ARGUMENTS', rule: 'inputSchema', arguments: { a: 1, b: 'two', c: 3 } })
    t.equal(forwarded('add'), 0)
  })

  await t.test('dangerous input is blocked', async (t) => {
    for (const command of ['rm -rf / --no-preserve-root', 'cat ../../../etc/passwd', 'curl http://169.254.169.254/latest/meta-data/']) {
      const result = await call('run', { command })
      t.match(result, { isError: true }, command)
      t.match(refusalOf(result), { code: 'PORTCULLIS_BLOCKED', guard: String })
      t.match(await rowOf(gateway, recordOf(result)), { kind: 'refusal', code: 'PORTCULLIS_BLOCKED', decision: 'deny' })
    }
    t.equal(forwarded('run'), 0)
  })

  await t.test('a limit refuses with what it is and when it ends', async (t) => {
    await call('sleep', { ms: 1 })
    await call('sleep', { ms: 1 })
    const result = await call('sleep', { ms: 1 })
    t.match(result, { isError: true })
    t.match(textOf(result), /2 calls per minute/)
    t.match(refusalOf(result), { code: 'PORTCULLIS_RATE_LIMITED', limit: 2, windowMs: 60_000, retryAfterMs: Number })
    t.match(await rowOf(gateway, recordOf(result)), { kind: 'refusal', code: 'PORTCULLIS_RATE_LIMITED' })
    const another = await gateway.client('/mcp', await gateway.login('alice', 'password of alice, long enough'))
    t.match(refusalOf(await another.callTool({ name: 'fixture__sleep', arguments: { ms: 1 } })), { code: 'PORTCULLIS_RATE_LIMITED' }, 'a new token, session and endpoint change nothing')
    t.equal(forwarded('sleep'), 2)
  })

  await t.test('a tool that fails, and a server that answers with an error, are passed on and counted as such', async (t) => {
    const failed = await call('fail')
    t.match(failed, { isError: true, content: [{ text: 'it went wrong' }] })
    t.match(await rowOf(gateway, recordOf(failed)), { outcome: 'tool_error' })
    await t.rejects(call('error'), { code: -32050 })
    t.match((await gateway.rows({ tool: 'error' }))[0], { outcome: 'error', code: '-32050' })
  })

  await t.test('a server that does not answer in time is told to stop', async (t) => {
    const result = await call('hang')
    t.match(refusalOf(result), { code: 'PORTCULLIS_TIMEOUT' })
    t.match(await rowOf(gateway, recordOf(result)), { kind: 'call', outcome: 'timeout', code: 'PORTCULLIS_TIMEOUT' })
    await until(() => gateway.calls().some(({ method }) => method === 'notifications/cancelled'))
  })

  await t.test('27: a server that dies fails the call and is started again for the next', async (t) => {
    const result = await call('crash')
    t.match(refusalOf(result), { code: 'PORTCULLIS_UPSTREAM_FAILED' })
    t.match(await rowOf(gateway, recordOf(result)), { outcome: 'crashed' })
    t.equal(textOf(await call('echo', { text: 'again' })), 'again')
    t.ok((await gateway.rows({ kind: 'upstream' })).some(({ outcome }) => outcome === 'crashed'))
  })

  await t.test('secrets in arguments are blanked in the record', async (t) => {
    await client.callTool({ name: 'secret', arguments: { password: 'hunter2', note: 'n' } }).catch(() => {})
    const [row] = (await gateway.rows({ tool: 'secret' })).slice(-1)
    t.match(row, { arguments: { password: '[redacted]', note: 'n' } })
  })
})

t.test('37, 38: prompts, resources, completion, progress, logging and cancellation pass', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('bob', ['user'])
  for (const path of ['/mcp/fixture', '/mcp']) {
    const prefix = path === '/mcp' ? 'fixture__' : ''
    const client = await gateway.client(path, token)
    t.match(await client.getPrompt({ name: `${prefix}greeting`, arguments: { who: 'you' } }), { messages: [{ content: { text: 'greeting you' } }] }, path)
    t.match(await client.listResources(), { resources: [{ uri: 'memo://one' }, { uri: 'memo://two' }] })
    t.match(await client.readResource({ uri: 'memo://one' }), { contents: [{ text: 'first' }] })
    t.match(await client.readResource({ uri: 'memo://note/7' }), { contents: [{ text: 'note memo://note/7' }] }, 'a template names its owner')
    t.match(await client.complete({ ref: { type: 'ref/prompt', name: `${prefix}greeting` }, argument: { name: 'who', value: 'wor' } }), { completion: { values: ['wor!'] } })
    const progress: unknown[] = []
    await client.callTool({ name: `${prefix}progress`, arguments: {} }, undefined, { onprogress: (step) => progress.push(step.progress) })
    t.same(progress, [1, 2, 3], 'progress is the caller\'s own, and no one else\'s')
    const aborter = new AbortController()
    const hangs = (): number => gateway.calls().filter(({ params }) => params?.['name'] === 'hang').length
    const before = hangs()
    const aborted = client.callTool({ name: `${prefix}hang`, arguments: {} }, undefined, { signal: aborter.signal })
    await until(() => hangs() > before)
    aborter.abort('enough')
    await t.rejects(aborted)
    await until(async () => (await gateway.rows({ tool: 'hang', outcome: 'cancelled' })).length >= (path === '/mcp' ? 2 : 1))
  }
  const { LoggingMessageNotificationSchema, ResourceUpdatedNotificationSchema, ToolListChangedNotificationSchema } = await import('@modelcontextprotocol/sdk/types.js')
  const client = await gateway.client('/mcp/fixture', token)
  const heard: string[] = []
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => { heard.push(`log ${params.level}`) })
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => { heard.push(`updated ${params.uri}`) })
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => { heard.push('tools changed') })
  await client.setLoggingLevel('warning')
  await client.callTool({ name: 'log', arguments: {} })
  await client.subscribeResource({ uri: 'memo://one' })
  await client.callTool({ name: 'grow', arguments: {} })
  await until(() => heard.length >= 3)
  t.same(heard.sort(), ['log warning', 'tools changed', 'updated memo://one'])
  t.equal(textOf(await client.callTool({ name: 'grown', arguments: {} })), 'grown', 'a tool that appeared can be called')
})

t.test('15, 83: numbers, texts and identifiers arrive as they were sent', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('carol', ['user'])
  const headers = await sessionHeaders(gateway, token)
  const args = '{"big": 9007199254740993,\n"one": 1.0, "huge": 1e400, "minus": -0, "text": "é\\ud800\\u0000😀", "__proto__": {"x": 1}}'
  const response = await gateway.post('/mcp/fixture', token, `{"jsonrpc":"2.0","id":"1","method":"tools/call","params":{"name":"raw","arguments":${args}}}`, headers)
  const { id, result } = await response.json() as { id: unknown, result: Result }
  t.equal(id, '1', 'an id keeps its type')
  t.match(textOf(result), args.replace('\n', ' '))
  for (const same of [0, '', '1', 1]) {
    const answer = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: same, method: 'tools/call', params: { name: 'echo', arguments: { text: 'x' } } }, headers)
    t.strictSame((await answer.json() as { id: unknown }).id, same)
  }
})

async function sessionHeaders (gateway: TestGateway, token: string, version = '2025-11-25'): Promise<Record<string, string>> {
  const response = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: version, capabilities: {}, clientInfo: { name: 'raw', version: '1' } } })
  return { 'mcp-session-id': response.headers.get('mcp-session-id') ?? '', 'mcp-protocol-version': version }
}
