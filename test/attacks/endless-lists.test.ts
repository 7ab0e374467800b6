import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { fixture, fixtures, startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const MiB = 1024 * 1024

t.test('T35: a list without an end is cut at sixteen megabytes, and nothing after that is asked for', async (t) => {
  const gateway = await startWith(t, { ITEMS: '1', SIZE: String(MiB) })
  await t.test('a tool that was kept can be called, others are served', async (t) => await serves(t, gateway, 'tool-3'))
  t.equal(await offered(gateway), 15)
  t.equal(gateway.calls().length, 16)
  const cuts = gateway.log().split('\n').filter((line) => line.includes('the list of the upstream is too long'))
  t.equal(cuts.length, 1, 'it is said once')
  t.match(JSON.parse(cuts[0] ?? '{}'), { level: 'warn', upstream: 'endless', list: 'tools/list', items: 15 })
})

t.test('T35: a list without an end is cut at ten thousand items', async (t) => {
  const gateway = await startWith(t, { ITEMS: '1500', SIZE: '1' })
  await t.test('a tool that was kept can be called, others are served', async (t) => await serves(t, gateway, 'tool-9999'))
  t.equal(await offered(gateway), 10_000)
  t.equal(gateway.calls().length, 7)
  const client = await gateway.client('/mcp/endless', await gateway.addUser('bob', ['admin']))
  t.match(await client.callTool({ name: 'tool-10000', arguments: {} }).catch(String), /Unknown tool/, 'what was cut off is not there')
})

t.test('T35: a tool that is nested a hundred thousand levels deep is not offered; its server and the others are served', async (t) => {
  const gateway = await startWith(t, { LEVELS: '100000' })
  await serves(t, gateway, 'tool-0')
  t.equal(await offered(gateway), 1)
  const client = await gateway.client('/mcp', await gateway.addUser('bob', ['admin']))
  t.notOk((await client.listTools()).tools.some(({ name }) => name.includes('deep')))
  t.match(gateway.log(), /some of what the upstream lists is nested too deeply/)
})

/** A gateway with one upstream whose list never ends, and one that is well. */
async function startWith (t: Test, env: Record<string, string>): Promise<TestGateway> {
  const folder = t.testdir()
  chmodSync(folder, 0o755)
  const shared = join(folder, 'shared')
  const others = join(folder, 'others')
  mkdirSync(others)
  chmodSync(others, 0o777)
  return await startGateway(t, {
    folder,
    yaml: {
      upstreams: { endless: fixture({ shared, command: ['node', join(fixtures, 'endless.mjs')], env, timeouts: { call: '60s', start: '60s' } }), fixture: fixture({ shared: others }) },
      roles: { admin: { allow: ['*/*'] } },
    },
  })
}

async function serves (t: Test, gateway: TestGateway, tool: string): Promise<void> {
  const client = await gateway.client('/mcp', await gateway.addUser('alice', ['admin']))
  t.match(await client.callTool({ name: `endless__${tool}`, arguments: {} }), { content: [{ text: tool }] })
  t.match(await client.callTool({ name: 'fixture__echo', arguments: { text: 'alive' } }), { content: [{ text: 'alive' }] })
}

async function offered (gateway: TestGateway): Promise<number> {
  const metrics = await (await fetch(gateway.metricsUrl)).text()
  return Number(/portcullis_upstream_tools\{upstream="endless"\} (\d+)/.exec(metrics)?.[1])
}
