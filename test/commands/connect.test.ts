import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import t from 'tap'

import { clients, instructions, merge } from '../../src/commands/connect-clients.ts'
import { connectCommand } from '../../src/commands/connect.ts'

const server = { name: 'portcullis', url: 'http://127.0.0.1:8080/mcp' }

t.test('docs/clients.md shows for every client what `connect` prints', async (t) => {
  const page = readFileSync(new URL('../../docs/clients.md', import.meta.url), 'utf8')
  for (const client of Object.values(clients)) {
    t.ok(page.includes(`## ${client.title}`), client.title)
    for (const part of instructions(client, server).trim().split('\n\n')) t.ok(page.toLowerCase().includes(part.toLowerCase().replace(/^(or )?in (\S+):$/, '$1in `$2`:')), part)
  }
})

t.test('writing keeps what the file holds, and refuses what it does not understand', async (t) => {
  const { cursor, codex } = clients
  if (cursor === undefined || codex === undefined) throw new Error('they are in the table')
  const before = { mcpServers: { other: { url: 'https://other.example' }, portcullis: { url: 'old' } }, more: 1 }
  t.same(JSON.parse(merge(JSON.stringify(before), cursor, server)), { ...before, mcpServers: { ...before.mcpServers, portcullis: { url: server.url } } })
  t.same(JSON.parse(merge(undefined, cursor, server)), { mcpServers: { portcullis: { url: server.url } } })
  t.throws(() => merge('// comment\n{}', cursor, server), /not plain JSON.*nothing was written/)
  t.throws(() => merge('{"mcpServers":[]}', cursor, server), /Nothing was written/)
  t.throws(() => merge(undefined, codex, server), /no file in the project/)
})

t.test('the command prints, writes, and says what it does not know', async (t) => {
  const folder = t.testdir()
  const back = process.cwd()
  process.chdir(folder)
  t.teardown(() => process.chdir(back))
  const run = async (...args: string[]): Promise<string> => {
    let printed = ''
    const { Option } = await import('commander')
    await connectCommand({ env: {}, out: (text) => { printed += text }, configOption: () => new Option('-c, --config <file>') }).exitOverride().parseAsync(args, { from: 'user' })
    return printed
  }
  t.match(await run('claude-code', '--url', 'https://mcp.example.com/', '--name', 'work'), /claude mcp add --transport http work https:\/\/mcp\.example\.com\/mcp\n/)
  for (const url of ['https://mcp.example.com/mcp', 'https://mcp.example.com/mcp/']) t.match(await run('codex', '--url', url), / --url https:\/\/mcp\.example\.com\/mcp\n/)
  for (const url of ['https://mcp.example.com/mcp/echo', 'https://mcp.example.com/mcp/echo/?x']) t.match(await run('codex', '--url', url), / --url https:\/\/mcp\.example\.com\/mcp\/echo\n/, 'an address that is pasted whole')
  t.match(await run('codex', '--url', 'https://mcp.example.com/mcp/echo', '--upstream', 'echo'), /\/mcp\/echo\n/)
  t.match(await run('cursor', '--url', 'https://mcp.example.com', '--upstream', 'files', '--write'), /\.cursor\/mcp\.json was written/)
  t.same(JSON.parse(readFileSync(join(folder, '.cursor/mcp.json'), 'utf8')), { mcpServers: { portcullis: { url: 'https://mcp.example.com/mcp/files' } } })
  t.notOk(existsSync(join(folder, '.cursor/mcp.json.new')))
  await t.rejects(run('emacs', '--url', 'https://mcp.example.com'), /There are: claude-code, codex, cursor/)
  await t.rejects(run('cursor', '--url', 'mcp.example.com'), /not an address/)
  await t.rejects(run('cursor', '--url', 'https://mcp.example.com/anything'), /not the address of a gateway: after the host there may be \/mcp/)
  await t.rejects(run('cursor', '--url', 'https://mcp.example.com/mcp/echo', '--upstream', 'files'), /--url is the address of echo, and --upstream says files/)
  await t.rejects(run('cursor', '--url', 'https://mcp.example.com', '--name', 'a b'), /letters, digits/)
})
