import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { pin } from '../../src/commands/pin.ts'
import { until } from '../support/gateway.ts'
import { npmRegistry } from '../support/registry.ts'
import { folderFor, logged, pinIn, shop } from './shop.ts'

t.test('an archive that is not what was approved is not run', async (t) => {
  const registry = await npmRegistry(t)
  registry.publish({ name: 'reaching', version: '1.0.0' })
  const folder = folderFor(t)
  const first = await shop(t, registry, folder, 'npx -y reaching@1.0.0')
  await first.reach({ how: 'direct', host: '127.0.0.1', port: 1 })
  await first.gateway.gateway.close(0)
  const lock = readFileSync(join(folder, 'upstreams.lock.json'), 'utf8')

  await t.test('when the registry delivers other bytes', async (t) => {
    rmSync(join(folder, 'data/packages'), { recursive: true })
    registry.tamper('reaching')
    const { gateway, reach } = await shop(t, registry, folder, 'npx -y reaching@1.0.0')
    await t.rejects(reach({}), /not available/)
    t.match(logged(gateway, 'its package cannot be had'), /could not be installed as .*upstreams\.lock\.json has it \(version 1\.0\.0, sha256-.*EINTEGRITY.*portcullis pin tool --approve/)
    t.same((await gateway.rows({ kind: 'upstream' })).filter(({ outcome }) => outcome === 'ok'), [], 'nothing was started')
    t.equal(readFileSync(join(folder, 'upstreams.lock.json'), 'utf8'), lock)
    await gateway.gateway.close(0)
  })

  await t.test('when what was installed is changed afterwards', async (t) => {
    registry.publish({ name: 'reaching', version: '1.0.0' })
    const repaired = await shop(t, registry, folder, 'npx -y reaching@1.0.0')
    await repaired.reach({ how: 'direct', host: '127.0.0.1', port: 1 })
    await repaired.gateway.gateway.close(0)
    const { digest } = pinIn(folder)
    writeFileSync(join(folder, 'data/packages', digest, 'node_modules/reaching/index.mjs'), 'process.exit(1)\n')
    const { gateway, reach } = await shop(t, registry, folder, 'npx -y reaching@1.0.0')
    await t.rejects(reach({}), /not available/)
    t.match(logged(gateway, 'its package cannot be had'), /What was installed in .* has been changed since/)
    await gateway.gateway.close(0)
  })

  await t.test('when upstreams.yaml asks for another version than was approved, until it is', async (t) => {
    registry.publish({ name: 'reaching', version: '2.0.0' })
    const { gateway, reach, config } = await shop(t, registry, folder, 'npx -y reaching@2.0.0')
    await t.rejects(reach({}), /not available/)
    t.match(logged(gateway, 'its package cannot be had'), /upstreams\.tool asks for npm:reaching@2\.0\.0, and .*upstreams\.lock\.json has npm:reaching@1\.0\.0 \(version 1\.0\.0\) approved\. See what would change with portcullis pin tool, and approve it with portcullis pin tool --approve/)

    let printed = ''
    const session = { config, ledger: gateway.gateway.ledger, out: (text: string) => { printed += text } }
    t.equal(await pin(session, 'tool'), 1, 'exit code 1 while something is not approved')
    t.match(printed, /tool: npm:reaching@2\.0\.0 is 2\.0\.0 in the registry, which is not what is pinned[^]*- reaching 1\.0\.0\n {2}\+ reaching 2\.0\.0\nTo approve: portcullis pin tool --approve/)
    t.equal(readFileSync(join(folder, 'upstreams.lock.json'), 'utf8'), lock, 'looking changes nothing')
    t.equal(await pin(session, undefined, { approve: true }), 0)
    t.match(await gateway.rows({ kind: 'admin' }), [{ upstream: 'tool', detail: { action: 'approve package', version: '2.0.0' } }])
    await until(async () => await reach({ how: 'direct', host: '127.0.0.1', port: 1 }).catch(() => '') !== '', 60_000)
    t.pass('the running gateway takes it up')

    registry.publish({ name: 'reaching', version: '2.0.0', files: { 'index.mjs': 'process.exit(1)\n' } })
    printed = ''
    t.equal(await pin(session, 'tool'), 1)
    t.match(printed, /! reaching 2\.0\.0 has other content under the same version/)
    await gateway.gateway.close(0)
  })

  await t.test('when the lock file was edited', async (t) => {
    writeFileSync(join(folder, 'upstreams.lock.json'), lock.replaceAll('sha512-', 'sha512-AAAA'))
    const { gateway, reach } = await shop(t, registry, folder, 'npx -y reaching@1.0.0')
    await t.rejects(reach({}), /not available/)
    t.match(logged(gateway, 'its package cannot be had'), /the entry \\"tool\\" was changed: its digest is not that of its plan/)
  })
})
