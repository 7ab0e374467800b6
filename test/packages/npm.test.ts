import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../support/gateway.ts'
import { npmRegistry, serverFiles } from '../support/registry.ts'
import { folderFor, logged, pinIn, shop } from './shop.ts'

t.test('a package is pinned and installed by a sandbox of its own, then run without network, npm or registry', async (t) => {
  const registry = await npmRegistry(t)
  registry.publish({ name: 'helper', version: '2.0.1', files: { 'index.mjs': 'export const two = 2\n' } })
  registry.publish({ name: '@acme/reaching', version: '1.4.2', dependencies: { helper: '^2.0.0' }, files: { 'index.mjs': `import 'helper'\n${serverFiles()['index.mjs']?.replace(/^#!.*\n/, '') ?? ''}` } })
  const folder = folderFor(t)
  const { gateway, reach } = await shop(t, registry, folder, 'npx -y @acme/reaching@^1.4.0', { env: { TOKEN: 'a secret of the upstream' } })
  const port = Number(new URL(registry.url).port)

  t.equal(await reach({ how: 'direct', host: '127.0.0.1', port }), 'failed: ECONNREFUSED', 'it runs, and reaches nothing')
  const { wanted, version, integrity, digest } = pinIn(folder)
  t.same({ wanted, version }, { wanted: 'npm:@acme/reaching@^1.4.0', version: '1.4.2' })
  t.match(integrity, /^sha512-/)
  const installed = join(folder, 'data/packages', digest)
  t.match(readdirSync(join(installed, 'node_modules')), ['.bin', '.package-lock.json', '@acme', 'helper'])
  t.equal(statSync(installed).mode & 0o777, 0o755)
  t.equal(statSync(installed).uid, process.getuid?.(), 'what was installed belongs to the gateway, not to the user of cells')

  t.match(await gateway.rows({ kind: 'egress' }), [{ upstream: 'tool', tool: `127.0.0.1:${port}`, decision: 'allow', detail: { owner: 'install' } }], 'each connection of the installation is on the record')
  t.match(await gateway.rows({ kind: 'upstream' }), [{ upstream: 'tool', detail: { event: 'pin', version: '1.4.2', digest } }, { detail: { event: 'start' } }])

  const asked = registry.asked.length
  await gateway.gateway.close(0)
  const again = await shop(t, registry, folder, 'npx -y @acme/reaching@^1.4.0')
  const before = Date.now()
  t.match(await again.reach({ how: 'direct', host: '127.0.0.1', port }), /^failed/)
  t.comment(`second gateway: first answer after ${Date.now() - before} ms`)
  t.equal(registry.asked.length, asked, 'nothing is downloaded again')
})

t.test('no script of a package is run when it is installed, and the operator hears that there is one', async (t) => {
  const registry = await npmRegistry(t)
  const folder = folderFor(t)
  const trace = join(folder, 'trace')
  const scripts = { preinstall: `echo ran > ${trace}; echo ran > trace`, postinstall: `echo ran > ${trace}; echo ran > trace` }
  registry.publish({ name: 'scripted', version: '1.0.0', scripts })
  const { gateway, reach } = await shop(t, registry, folder, 'npx -y scripted@1.0.0')
  await reach({ how: 'direct', host: '127.0.0.1', port: 1 })
  const { digest } = pinIn(folder)
  t.notOk(existsSync(trace))
  t.notOk(existsSync(join(folder, 'data/packages', digest, 'node_modules/scripted/trace')))
  t.match(JSON.parse(logged(gateway, 'want to run scripts')), { upstream: 'tool', packages: ['scripted'] })
})

t.test('what the registry does not have is refused, and says what to look at', async (t) => {
  const registry = await npmRegistry(t)
  const { gateway } = await shop(t, registry, folderFor(t), 'npx -y absent@1.0.0')
  await until(() => logged(gateway, 'its package cannot be had') !== '', 60_000)
  t.match(logged(gateway, 'its package cannot be had'), /npm:absent@1\.0\.0 could not be looked up.*E404.*Check the name and the version in upstreams\.tool\.command/)
})

t.test('an installation is given nothing of the gateway, and reaches the registry only', async (t) => {
  const registry = await npmRegistry(t)
  const elsewhere = await npmRegistry(t)
  elsewhere.publish({ name: 'far', version: '1.0.0' })
  registry.publish({ name: 'near', version: '1.0.0', dependencies: { far: `${elsewhere.url}/-/far/1.0.0.tgz` } })
  const { gateway } = await shop(t, registry, folderFor(t), 'npx -y near@1.0.0')
  await until(() => logged(gateway, 'its package cannot be had') !== '', 60_000)
  t.same(elsewhere.asked, [], 'the other address was not contacted')
  t.match(await gateway.rows({ kind: 'egress', decision: 'deny' }), [{ tool: `127.0.0.1:${new URL(elsewhere.url).port}` }])
})
