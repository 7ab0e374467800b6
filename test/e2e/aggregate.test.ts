import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'
import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import t from 'tap'
import type { Test } from 'tap'
import { fixture, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const long = `read_${'very_'.repeat(12)}long_name`
const many = Array.from({ length: 700 }, (_, at) => `tool-${String(at).padStart(4, '0')}x`)
const textOf = (result: unknown): string => (result as { content: { text: string }[] }).content[0]?.text ?? ''

/** Two upstreams with tools of these names, and one that never starts. */
async function start (t: Test, names: readonly string[]): Promise<{ gateway: TestGateway, token: string, client: Client }> {
  const env = { NAMES: JSON.stringify(names) }
  const gateway = await startGateway(t, {
    yaml: {
      upstreams: {
        broken: { command: ['node', '-e', 'process.exit(3)'] },
        alpha: { command: ['node', join(import.meta.dirname, '../fixtures/upstream.mjs')], env },
        beta: { command: ['node', join(import.meta.dirname, '../fixtures/upstream.mjs')], env },
      },
      roles: { user: { allow: ['*/*', { resource: 'alpha/*' }, { resource: 'beta/*' }], deny: ['beta/secret'] } },
      limits: [{ calls: 100_000, per: 'hour', by: ['user', 'tool'] }],
    },
  })
  const token = await gateway.addUser('alice', ['user'])
  return { gateway, token, client: await gateway.client('/mcp', token) }
}

t.test('79, 81: one list of all upstreams, in the order of the configuration, whatever one of them does', async (t) => {
  const { client, gateway } = await start(t, [long])
  const first = (await client.listTools()).tools.map(({ name }) => name)
  t.same((await client.listTools()).tools.map(({ name }) => name), first, 'the order is the same every time')
  const begins = first.map((name) => name.split('__')[0])
  t.same([...new Set(begins)], ['alpha', 'beta'])
  t.same(begins, [...begins].sort(), 'alpha before beta')
  t.match(gateway.log(), /upstream left out of a merged list/, 'the operator hears of the one that fails')
  t.match(await client.callTool({ name: 'broken__echo', arguments: { text: 'x' } }), { isError: true }, 'a call to it says so')
  t.equal(textOf(await client.callTool({ name: 'beta__echo', arguments: { text: 'still here' } })), 'still here')
})

t.test('79: a name that is too long is shortened in one way, and the upstream gets its own', async (t) => {
  const { client, gateway, token } = await start(t, [long, `${long}2`])
  const { tools } = await client.listTools()
  t.ok(tools.every(({ name }) => name.length <= 64), 'none is longer than models take')
  const short = tools.filter(({ name }) => name.startsWith('alpha__read_very_')).map(({ name }) => name)
  t.equal(new Set(short).size, 2, 'two that differ only at the end are two')
  t.equal(textOf(await client.callTool({ name: short[0] ?? '' })), long)
  t.equal(textOf(await client.callTool({ name: short[1] ?? '' })), `${long}2`)
  const again = new ModernClient({ name: 'v2', version: '2.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } })
  await again.connect(new ModernTransport(new URL(`${gateway.url}/mcp`), { requestInit: { headers: { authorization: `Bearer ${token}` } } }))
  t.teardown(() => again.close())
  t.ok((await again.listTools()).tools.some(({ name }) => name === short[0]), 'the same in the other era')
  t.equal(textOf(await again.callTool({ name: short[0] ?? '' })), long, 'Mcp-Name is compared with the name of this endpoint')
  const unknown = `alpha__${'x'.repeat(46)}_0123456789`
  await t.rejects(client.callTool({ name: unknown }), /Unknown tool/, 'a made-up shortened name leads nowhere')
})

t.test('72, 79: of tools that look alike only the first is offered on /mcp, and the operator hears why', async (t) => {
  const lookalikes = ['Echo', 'есho', 'ec\u200bho', 'ｅcho', 'secrеt']
  const { client, gateway, token } = await start(t, [...lookalikes, 'show_I', 'show_l'])
  const names = (await client.listTools()).tools.map(({ name }) => name)
  t.same(names.filter((name) => /^alpha__\S*cho$/u.test(name)), ['alpha__echo'])
  t.ok(names.includes('alpha__show_I'))
  for (const name of [...lookalikes, 'show_l']) {
    t.notOk(names.includes(`alpha__${name}`), name)
    await t.rejects(client.callTool({ name: `alpha__${name}` }), /Unknown tool/, `${name} cannot be called either`)
  }
  t.match(gateway.log(), /"name":"Echo","like":"echo".*left out of \/mcp/)
  const direct = await gateway.client('/mcp/alpha', token)
  t.equal(textOf(await direct.callTool({ name: 'Echo' })), 'Echo', 'the endpoint of one upstream is as that upstream is')
  for (const form of ['beta__secret', 'beta__SECRET', 'beta__secrеt', 'Beta__secret', 'beta__secret ', 'beta___secret']) {
    await t.rejects(client.callTool({ name: form }), /Unknown tool/, form)
  }
})

t.test('74: a long list comes in pages, whose cursors are one principal\'s and one list\'s', async (t) => {
  const { client, gateway } = await start(t, many)
  const names: string[] = []
  const cursors: string[] = []
  let cursor: string | undefined
  do {
    const page = await client.listTools(cursor === undefined ? {} : { cursor })
    t.ok(page.tools.length <= 500)
    names.push(...page.tools.map(({ name }) => name))
    cursor = page.nextCursor
    if (cursor !== undefined) cursors.push(cursor)
  } while (cursor !== undefined)
  t.equal(cursors.length, 2)
  t.equal(new Set(names).size, names.length, 'nothing twice')
  t.equal(names.filter((name) => name.includes('__tool-')).length, 1400, 'nothing left out')
  const [mine = ''] = cursors
  const mallory = await gateway.client('/mcp', await gateway.addUser('mallory', ['user']))
  const [body = '', mac = ''] = mine.split('.')
  const elsewhere = `${Buffer.from(JSON.stringify({ upstream: 'beta', offset: 600 })).toString('base64url')}.${mac}`
  for (const stray of ['', 'x', body, `${body}.`, `${mine}.x`, `${mine.slice(0, -1)}${mine.endsWith('A') ? 'B' : 'A'}`, elsewhere]) {
    await t.rejects(client.listTools({ cursor: stray }), { code: -32602 }, JSON.stringify(stray))
  }
  await t.rejects(mallory.listTools({ cursor: mine }), { code: -32602 }, 'somebody else\'s')
  t.match((await gateway.rows({ method: 'tools/list' })).at(-1), { principal: 'mallory', outcome: 'refused', code: 'PORTCULLIS_INVALID_PARAMS' }, 'and the record says so')
  await t.rejects(client.listPrompts({ cursor: mine }), { code: -32602 }, 'another list\'s')
  t.match((await client.listTools({ cursor: mine })).tools[0], { name: names[500] }, 'it is still good for what it was made for')
})

t.test('74: a foreign cursor contacts no upstream, and an upstream\'s empty cursor is followed', async (t) => {
  const shared = await startGateway(t)
  mkdirSync(join(shared.folder, 'shared'), { recursive: true })
  const token = await shared.addUser('alice', ['user'])
  const client = await shared.client('/mcp', token)
  await t.rejects(client.listTools({ cursor: 'stray' }), { code: -32602 })
  t.same(shared.calls(), [], 'nothing was started, nothing forwarded')
  const paged = await startGateway(t, { yaml: { upstreams: { fixture: fixture({ shared: join(shared.folder, 'shared'), env: { PAGES: '' } }) } } })
  const other = await paged.client('/mcp', await paged.addUser('bob', ['user']))
  t.ok((await other.listTools()).tools.some(({ name }) => name === 'fixture__grow'), 'the second page is behind a cursor without characters')
  const direct = await paged.client('/mcp/fixture', await paged.login('bob', 'password of bob, long enough'))
  const { nextCursor } = await direct.listTools()
  t.equal(nextCursor, '')
  t.ok((await direct.listTools({ cursor: '' })).tools.some(({ name }) => name === 'grow'), 'on the endpoint of one upstream it passes')
})

t.test('80: a change of several lists is told once', async (t) => {
  const { client, gateway, token } = await start(t, [])
  await client.listTools()
  let heard = 0
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => { heard++ })
  const caller = await gateway.client('/mcp', token)
  await Promise.all(['alpha__grow', 'beta__grow', 'alpha__grow'].map(async (name) => await caller.callTool({ name })))
  await until(() => heard > 0)
  const { tools } = await client.listTools()
  t.same(tools.filter(({ name }) => name.endsWith('__grown')).map(({ name }) => name), ['alpha__grown', 'beta__grown'], 'the merged list is another one')
  t.ok(heard <= 2, `${heard} notifications for three changes in a burst`)
})

t.test('82: a resource is read from the upstream that offers it, or that pointed at it', async (t) => {
  const { client, gateway } = await start(t, [])
  t.match(await client.readResource({ uri: 'memo://one' }), { contents: [{ text: 'first' }] })
  await t.rejects(client.readResource({ uri: 'memo://linked' }), /Unknown resource/, 'nobody offers it')
  await client.callTool({ name: 'beta__link' })
  t.match(await client.readResource({ uri: 'memo://linked' }), { contents: [{ uri: 'memo://linked' }] }, 'a link says where it is')
  const rows = await gateway.rows({ method: 'resources/read', outcome: 'ok' })
  t.same(rows.map(({ upstream }) => upstream), ['alpha', 'beta'])
  const mallory = await gateway.client('/mcp', await gateway.addUser('mallory', ['user']))
  await t.rejects(mallory.readResource({ uri: 'memo://linked' }), /Unknown resource/, 'a link is its reader\'s own')
})
