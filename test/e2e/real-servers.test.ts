import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { inFrontOfRealServers } from '../matrix/servers.ts'

interface Result { content: { type: string, text: string }[], isError?: boolean, structuredContent?: Record<string, unknown> }

const textOf = (result: unknown): string => (result as Result).content.map(({ text }) => text).join()

t.test('an SDK v1 client uses five real servers through one endpoint, and each call is on the record', async (t) => {
  const gateway = await inFrontOfRealServers(t)
  const token = await gateway.addUser('alice', ['user'])
  const client = await gateway.client('/mcp', token)

  const names = (await client.listTools()).tools.map(({ name }) => name)
  for (const name of ['everything__echo', 'files__read_text_file', 'memory__create_entities', 'thinking__sequentialthinking', 'python__shout']) t.ok(names.includes(name), name)
  t.notOk(names.includes('files__write_file'))

  t.match(textOf(await client.callTool({ name: 'everything__echo', arguments: { message: 'hi' } })), /hi/)
  t.match(textOf(await client.callTool({ name: 'files__read_text_file', arguments: { path: '/data/hello.txt' } })), /hello from a file/)
  t.match(await client.callTool({ name: 'files__read_text_file', arguments: { path: '/etc/hostname' } }), { isError: true }, 'the server itself refuses what is outside')
  t.match(textOf(await client.callTool({ name: 'memory__create_entities', arguments: { entities: [{ name: 'Ada', entityType: 'person', observations: ['wrote the first program'] }] } })), /Ada/)
  t.match(textOf(await client.callTool({ name: 'memory__read_graph', arguments: {} })), /wrote the first program/)
  t.match(textOf(await client.callTool({ name: 'thinking__sequentialthinking', arguments: { thought: 'a', nextThoughtNeeded: false, thoughtNumber: 1, totalThoughts: 1 } })), /thoughtNumber/)
  t.equal(textOf(await client.callTool({ name: 'python__shout', arguments: { text: 'quiet' } })), 'QUIET')
  await t.rejects(client.callTool({ name: 'files__write_file', arguments: { path: '/data/hello.txt', content: 'changed' } }), { code: -32602 })
  t.equal(readFileSync(join(gateway.folder, 'files/hello.txt'), 'utf8'), 'hello from a file\n')

  const prompts = (await client.listPrompts()).prompts.map(({ name }) => name)
  t.ok(prompts.length > 0 && prompts.every((name) => name.startsWith('everything__')), prompts.join())
  const { resources } = await client.listResources()
  const everything = resources.find(({ uri }) => !uri.startsWith('memo'))
  t.match(await client.readResource({ uri: everything?.uri ?? '' }), { contents: [{ uri: everything?.uri }] })

  const rows = await gateway.rows({ method: 'tools/call' })
  t.same(rows.map(({ upstream, outcome }) => `${upstream} ${outcome}`), [
    'everything ok', 'files ok', 'files tool_error', 'memory ok', 'memory ok', 'thinking ok', 'python ok', 'files refused',
  ])
})
