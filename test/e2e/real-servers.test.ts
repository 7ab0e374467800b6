import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import t from 'tap'
import { fixtures, startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const run = promisify(execFile)

interface Result { content: { type: string, text: string }[], isError?: boolean, structuredContent?: Record<string, unknown> }

const textOf = (result: unknown): string => (result as Result).content.map(({ text }) => text).join()

/** A gateway in front of the official servers as their users configure them. */
async function inFrontOfRealServers (t: Parameters<typeof startGateway>[0], folder: string): Promise<TestGateway> {
  const files = join(folder, 'files')
  mkdirSync(files)
  chmodSync(folder, 0o755)
  chmodSync(files, 0o777)
  writeFileSync(join(files, 'hello.txt'), 'hello from a file\n')
  return await startGateway(t, {
    folder,
    yaml: {
      upstreams: {
        everything: { command: 'npx -y @modelcontextprotocol/server-everything stdio' },
        files: { command: 'npx -y @modelcontextprotocol/server-filesystem /data', sandbox: { write: [`${files}:/data`] } },
        memory: { command: 'npx', args: ['-y', '@modelcontextprotocol/server-memory'], env: { MEMORY_FILE_PATH: '/tmp/memory.json' } },
        thinking: { command: ['npx', '@modelcontextprotocol/server-sequential-thinking'] },
        python: process.env['TEST_PYTHON'] === undefined ? { command: ['python3', join(fixtures, 'stdlib_server.py')] } : { command: [process.env['TEST_PYTHON'], join(fixtures, 'sdk_server.py')] },
        modern: { command: ['node', join(fixtures, 'modern.mjs')], sandbox: { read: [join(fixtures, '../../node_modules')] } },
      },
      roles: { user: { allow: ['*/*'], deny: ['files/write_*', 'files/edit_file', 'files/move_file'] } },
      limits: [{ calls: 1000, per: 'hour', by: ['user', 'tool'] }],
    },
  })
}

t.test('an SDK v1 client uses five real servers through one endpoint, and each call is on the record', async (t) => {
  const gateway = await inFrontOfRealServers(t, t.testdir())
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

t.test('an SDK v2 client speaks 2026-07-28 to servers of both eras', async (t) => {
  const gateway = await inFrontOfRealServers(t, t.testdir())
  const token = await gateway.addUser('alice', ['user'])
  for (const [path, tool, args, expected] of [['/mcp/modern', 'echo', { text: 'new' }, /new/], ['/mcp/everything', 'echo', { message: 'old' }, /old/], ['/mcp', 'everything__echo', { message: 'all' }, /all/]] as const) {
    const client = new Client({ name: 'v2', version: '2.0.0' }, { versionNegotiation: { mode: 'auto' } })
    await client.connect(new StreamableHTTPClientTransport(new URL(gateway.url + path), { requestInit: { headers: { authorization: `Bearer ${token}` } } }))
    await client.listTools()
    t.match(textOf(await client.callTool({ name: tool, arguments: args })), expected, path)
    await client.close()
  }
  t.same((await gateway.rows({ method: 'tools/call' })).map(({ era, outcome }) => `${era} ${outcome}`), Array(3).fill('2026-07-28 ok'))
})

t.test('the Inspector lists and calls from the command line', async (t) => {
  const inspector = process.env['TEST_INSPECTOR']
  if (inspector === undefined) return t.pass('TEST_INSPECTOR is not set: .ci/run installs the Inspector and runs this')
  const gateway = await inFrontOfRealServers(t, t.testdir())
  const token = await gateway.addUser('alice', ['user'])
  const inspect = async (...args: string[]): Promise<string> => (await run(process.execPath, [inspector, '--cli', `${gateway.url}/mcp`, '--transport', 'http', '--header', `Authorization: Bearer ${token}`, ...args])).stdout
  t.match(await inspect('--method', 'tools/list'), /everything__echo/)
  t.match(await inspect('--method', 'tools/call', '--tool-name', 'everything__echo', '--tool-arg', 'message=inspected'), /inspected/)
  t.match((await gateway.rows({ method: 'tools/call' }))[0], { client: /inspector/, outcome: 'ok' })
})
