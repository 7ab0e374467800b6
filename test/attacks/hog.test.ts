import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { processesWith } from '../sandbox/cells.ts'
import { fixture, fixtures, startGateway } from '../support/gateway.ts'

t.test('T47: a server that takes all it can get is stopped and reported, and the others answer as before meanwhile', async (t) => {
  const folder = t.testdir()
  mkdirSync(join(folder, 'shared'), { recursive: true })
  const gateway = await startGateway(t, {
    folder,
    yaml: {
      limits: [],
      upstreams: {
        fixture: fixture({ shared: join(folder, 'shared'), timeouts: { call: '60s' } }),
        hog: { command: ['node', join(fixtures, 'hog.mjs')], sandbox: { memory: '192MiB', processes: 40 }, timeouts: { call: '5s' } },
      },
      roles: { user: { allow: ['*/*'] } },
    },
  })
  const good = await gateway.client('/mcp/fixture', await gateway.addUser('alice', ['user']))
  const token = await gateway.addUser('mallory', ['user'])
  const bad = await gateway.client('/mcp/hog', token)
  for (const what of ['memory', 'processes', 'output', 'processor']) {
    const taken = { over: false }
    const taking = bad.callTool({ name: 'take', arguments: { what } }).then(() => {}, () => {}).finally(() => { taken.over = true })
    for (let i = 0; !taken.over || i < 5; i++) t.match(await good.callTool({ name: 'echo', arguments: { text: `${what} ${i}` } }), { content: [{ text: `${what} ${i}` }] })
    await taking
  }
  const ended = (await gateway.rows({ kind: 'upstream', upstream: 'hog', outcome: 'crashed' })).map(({ detail }) => (detail as { reason?: string }).reason)
  t.ok(ended.includes('memory'), 'too much memory is on the record')
  t.match(await (await fetch(gateway.metricsUrl)).text(), /portcullis_instance_restarts_total\{upstream="hog",reason="memory"\} 1/)
  t.match(gateway.log(), /"detail":"It used \d+ MiB of memory; its limit is 192 MiB \(sandbox\.memory\)\."/)
  await gateway.gateway.close(0)
  t.same(processesWith('hog.mjs'), [], 'nothing of it is left')
})
