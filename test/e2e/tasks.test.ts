import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import t from 'tap'
import type { Test } from 'tap'
import { fixture, fixtures, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

interface State { taskId: string, status: string, resultType: string, inputRequests?: Record<string, { params: { message: string } }>, isError?: boolean, content?: { text: string }[], result?: { content: { text: string }[] }, capabilities: Record<string, unknown> }
interface Reply { status: number, result: State, error?: { code: number, message: string } }

const extension = { 'io.modelcontextprotocol/tasks': {} }
const able = { elicitation: { form: {} }, extensions: extension }

/** A request of 2026-07-28. */
async function ask (gateway: TestGateway, token: string, path: string, method: string, params: Record<string, unknown>, capabilities: object = able): Promise<Reply> {
  const name = (params['taskId'] ?? params['name']) as string | undefined
  const response = await gateway.post(path, token, { jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': capabilities } } },
    { 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(name === undefined ? {} : { 'mcp-name': name }) })
  return { status: response.status, ...await response.json() as object } as Reply
}

/** Two servers that make tasks, each shared by all users: nothing but the id keeps one user's tasks from another. */
async function start (t: Test): Promise<{ gateway: TestGateway, alice: string, reached: () => string[] }> {
  const folder = t.testdir()
  const tasker = fixture({ shared: join(folder, 'shared'), command: ['node', join(fixtures, 'tasks.mjs')], isolation: 'shared' })
  const gateway = await startGateway(t, { folder, yaml: { upstreams: { one: tasker, two: tasker, everything: { command: ['npx', '@modelcontextprotocol/server-everything', 'stdio'] }, fixture: fixture({ shared: join(folder, 'shared') }) }, roles: { user: { allow: ['*/*'] }, guest: { allow: ['fixture/*'] } } } })
  return { gateway, alice: await gateway.addUser('alice', ['user']), reached: () => gateway.calls().filter(({ method }) => method.startsWith('tasks/')).map(({ method, params }) => `${method} ${String(params['taskId'])}`) }
}

for (const path of ['/mcp', '/mcp/one']) {
  t.test(`a 2026-07-28 client at ${path} has a task made, answers what it asks, and gets its result`, async (t) => {
    const { gateway, alice, reached } = await start(t)
    const discovered = await ask(gateway, alice, path, 'server/discover', {})
    t.match(discovered.result.capabilities, { extensions: extension })
    const made = await ask(gateway, alice, path, 'tools/call', { name: path === '/mcp' ? 'one__paint' : 'paint', arguments: {} })
    t.match(made.result, { resultType: 'task', status: 'working' })
    const { taskId } = made.result
    t.notMatch(taskId, /^task-/, 'the id is the gateway\'s own')
    const asking = await ask(gateway, alice, path, 'tasks/get', { taskId })
    t.match(asking.result, { taskId, status: 'input_required', resultType: 'complete' })
    t.equal(asking.result.inputRequests?.['colour']?.params.message, path === '/mcp' ? '[one] Which colour?' : 'Which colour?')
    t.match((await ask(gateway, alice, path, 'tasks/update', { taskId, inputResponses: { colour: { action: 'accept', content: { colour: 'green' } } } })).result, { resultType: 'complete' })
    const done = await ask(gateway, alice, path, 'tasks/get', { taskId })
    t.match(done.result, { taskId, status: 'completed', result: { content: [{ text: 'painted green' }] } })
    t.match((await ask(gateway, alice, path, 'tasks/cancel', { taskId })).result, { resultType: 'complete' })
    t.same(reached(), ['tasks/get task-1', 'tasks/update task-1', 'tasks/get task-1', 'tasks/cancel task-1'], 'and the upstream hears its own')
    t.match((await gateway.rows({ method: 'tasks/update' }))[0], { principal: 'alice', upstream: 'one', tool: 'paint', decision: 'allow' })
    t.equal((await gateway.rows({ kind: 'ask' })).length, 1, 'the question is on the record')
  })
}

t.test('T31, 9, 82: a task is its principal\'s own: another user, another upstream, an edited id and a role that was lost reach nothing', async (t) => {
  const { gateway, alice, reached } = await start(t)
  const bob = await gateway.addUser('bob', ['user'])
  const { result: { taskId } } = await ask(gateway, alice, '/mcp/one', 'tools/call', { name: 'paint', arguments: {} })
  const forged = `${Buffer.from(JSON.stringify(['one', 'paint', 'task-1'])).toString('base64url')}.${taskId.split('.')[1] ?? ''}x`
  const attempts: readonly (readonly [what: string, token: string, path: string, id: string])[] = [
    ['another user', bob, '/mcp/one', taskId],
    ['another user, all upstreams', bob, '/mcp', taskId],
    ['another upstream', alice, '/mcp/two', taskId],
    ['an edited id', alice, '/mcp/one', forged],
    ['the upstream\'s own id', alice, '/mcp/one', 'task-1'],
  ]
  for (const [what, token, path, id] of attempts) {
    for (const method of ['tasks/get', 'tasks/cancel', 'tasks/update']) {
      t.match((await ask(gateway, token, path, method, { taskId: id, ...(method === 'tasks/update' ? { inputResponses: {} } : {}) })).error, { code: -32602 }, `${what}: ${method}`)
    }
  }
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tasks/get', 'mcp-name': 'another' }
  const mirrored = await gateway.post('/mcp/one', alice, { jsonrpc: '2.0', id: 1, method: 'tasks/get', params: { taskId, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': able } } }, headers)
  t.equal(mirrored.status, 400, 'Mcp-Name is the id of the task')
  t.same(reached(), [], 'the upstreams heard of none')
  await gateway.setRoles('alice', ['guest'])
  const again = await gateway.login('alice', 'password of alice, long enough')
  await until(async () => (await ask(gateway, again, '/mcp', 'tasks/get', { taskId })).error?.code === -32602) // what was changed elsewhere is heard of a moment later
  const before = reached().length
  t.match((await ask(gateway, again, '/mcp', 'tasks/cancel', { taskId })).error, { code: -32602 }, 'a role that was lost')
  t.equal(reached().length, before, 'nor of that')
  t.ok((await gateway.rows({ method: 'tasks/get', decision: 'deny' })).length >= 5, 'and each attempt is on the record')
})

t.test('a client that did not say that it takes tasks gets an error, not a task', async (t) => {
  const { gateway, alice } = await start(t)
  t.match((await ask(gateway, alice, '/mcp/one', 'tools/call', { name: 'paint', arguments: {} }, {})), { result: { isError: true, content: [{ text: /kind of result that is not served here/ }] } })
})

t.test('tasks are not told of across eras, and the other extensions are', async (t) => {
  const { gateway, alice } = await start(t)
  const old = await gateway.client('/mcp/one', alice)
  t.same(old.getServerCapabilities()?.tasks, undefined)
  t.match(await ask(gateway, alice, '/mcp/one', 'server/discover', {}), { result: { capabilities: { extensions: { 'example.org/other': {} } } } })
  const modern = await ask(gateway, alice, '/mcp/everything', 'server/discover', {})
  t.notOk('tasks' in modern.result.capabilities)
  t.notMatch(modern.result.capabilities['extensions'] ?? {}, extension)
})

t.test('SDK v1 has server-everything work on a task, which asks in the middle', async (t) => {
  const { gateway, alice } = await start(t)
  const client = new Client({ name: 'v1', version: '1.0.0' }, { capabilities: { elicitation: { form: {} } } })
  const heard: string[] = []
  client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
    heard.push(String((params._meta?.['io.modelcontextprotocol/related-task'] as { taskId?: string } | undefined)?.taskId))
    return { action: 'accept', content: { interpretation: 'technical' } }
  })
  await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit: { headers: { authorization: `Bearer ${alice}` } } }) as Transport)
  t.teardown(() => client.close())
  t.match(client.getServerCapabilities(), { tasks: { requests: { tools: { call: {} } } } })
  await client.listTools()
  const stages: string[] = []
  let text = ''
  let taskId = ''
  for await (const message of client.experimental.tasks.callToolStream({ name: 'everything__simulate-research-query', arguments: { topic: 'python', ambiguous: true } })) {
    stages.push(message.type)
    if (message.type === 'taskCreated') taskId = message.task.taskId
    if (message.type === 'result') text = JSON.stringify(message.result)
    if (message.type === 'error') t.fail(message.error.message)
  }
  t.match(text, /Research Report: python \(technical/)
  t.equal(stages[0], 'taskCreated')
  t.same(heard, [taskId], 'the question names the task as the client knows it')
  t.match(await client.experimental.tasks.getTask(taskId), { taskId, status: 'completed' })
  await t.rejects(client.experimental.tasks.listTasks(), 'tasks are not listed: the list would be everybody\'s')
})
