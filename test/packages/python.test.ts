import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { wheelIndex } from '../support/wheels.ts'
import { folderFor, logged, pinIn } from './shop.ts'

t.test('uvx and pipx packages are pinned with their hashes, installed as wheels, and run without a network', { skip: process.env['TEST_PYTHON'] === undefined && 'TEST_PYTHON is not set: pip may be missing' }, async (t) => {
  const index = await wheelIndex(t)
  const folder = folderFor(t)
  const start = async (command: string): Promise<TestGateway> => await startGateway(t, { folder, yaml: { upstreams: { tool: { command } }, packages: { pypi: index.url }, roles: { user: { allow: ['tool/*'] } }, limits: [] } })
  const first = await start('uvx --from shouting==1.0.0 shout')
  await until(() => logged(first, 'package pinned') !== '', 100_000)
  const client = await first.client('/mcp/tool', await first.addUser('alice', ['user']))
  t.match(await client.callTool({ name: 'shout', arguments: { text: 'quiet' } }), { content: [{ text: 'QUIET' }] })
  t.match(pinIn(folder), { wanted: 'pypi:shouting==1.0.0', version: '1.0.0', integrity: /^sha256:[0-9a-f]{64}$/ })
  await first.gateway.close(0)

  index.tamper()
  rmSync(join(folder, 'data/packages'), { recursive: true })
  const second = await start('pipx run --spec shouting==1.0.0 shout')
  await until(() => logged(second, 'its package cannot be had') !== '', 100_000)
  t.match(logged(second, 'its package cannot be had'), /could not be installed as .*upstreams\.lock\.json has it.*HASHES.*find out why/i)
  t.same((await second.rows({ kind: 'upstream' })).filter(({ outcome }) => outcome === 'ok'), [], 'nothing was started')
})
