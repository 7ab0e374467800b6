import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { check } from '../../src/commands/check.ts'
import { doctor } from '../../src/commands/doctor.ts'
import { pin } from '../../src/commands/pin.ts'
import { loadConfig } from '../../src/config/config.ts'
import { Refusal } from '../../src/errors.ts'
import { descendantsOf } from '../../src/sandbox/processes.ts'
import { openCells } from '../../src/upstreams/cells.ts'
import { welcome } from '../../src/welcome.ts'
import { freePort, startGateway, until } from '../support/gateway.ts'
import { npmRegistry } from '../support/registry.ts'
import { folderFor, logged, shop } from './shop.ts'

t.test('a package that cannot be pinned is refused, nothing is downloaded or started, and the operator reads what would let it run', async (t) => {
  const registry = await npmRegistry(t)
  registry.publish({ name: 'reaching', version: '1.0.0' })
  const archive = `${registry.url}/-/reaching/1.0.0.tgz`
  const host = `"${new URL(registry.url).host}"`
  const cases: Record<string, [command: string, message: string]> = {
    archive: [`npx -y ${archive}`, `npx ${archive} is not the name of a package in the registry. It cannot be pinned, so it is refused. Install it and write node <file>. Or let it download its program, unpinned, whenever it starts: name the hosts it may reach for that, as in upstreams.archive.sandbox.network: [${host}].`],
    alias: [`npx -y reaching@${archive}`, `npx reaching@${archive} does not come from a registry under this name. It cannot be pinned`],
    git: ['npx -y github:acme/reaching', `npx github:acme/reaching is not the name of a package in the registry. It cannot be pinned, so it is refused. Install it and write node <file>. Or let it download its program, unpinned, whenever it starts: name the hosts it may reach for that, as in upstreams.git.sandbox.network: [${host}, github.com].`],
    several: ['npx -y -p reaching -p other reaching', 'npx with 2 packages (reaching, other) has no single one to pin. It cannot be pinned'],
    option: ['npx --call x', 'With npx --call nothing says beforehand what is installed. It cannot be pinned'],
    extra: ['uvx --with other reaching', 'With uvx --with nothing says beforehand what is installed. It cannot be pinned, so it is refused. Write uvx --from <package> <program> <arguments>. Or let it download its program, unpinned, whenever it starts: name the hosts it may reach for that, as in upstreams.extra.sandbox.network: [pypi.org, files.pythonhosted.org].'],
    repository: ['pipx run --spec git+https://git.example/reaching reach', 'as in upstreams.repository.sandbox.network: [pypi.org, files.pythonhosted.org, git.example].'],
    folder: ['pipx run ./reaching', 'pipx run ./reaching is a folder or a file. Install it into a virtual environment'],
  }
  const folder = folderFor(t)
  const gateway = await startGateway(t, { folder, yaml: { upstreams: Object.fromEntries(Object.entries(cases).map(([name, [command]]) => [name, { command }])), packages: { npm: registry.url }, roles: { user: { allow: ['*/*'] } }, limits: [] } })
  for (const [name, [, message]] of Object.entries(cases)) {
    const line = (): string => gateway.log().split('\n').find((line) => line.includes('its package cannot be had') && line.includes(`"upstream":"${name}"`)) ?? ''
    await until(() => line() !== '', 60_000)
    t.ok((JSON.parse(line()) as { reason: string }).reason.includes(message), `${name}: ${line()}`)
  }
  const client = await gateway.client('/mcp/archive', await gateway.addUser('alice', ['user'])).catch((error: unknown) => String(error))
  t.match(client, /The upstream "archive" is not available/)
  t.same(registry.asked, [], 'the registry was not asked')
  t.same((await gateway.rows()).filter(({ kind, outcome }) => kind === 'egress' || (kind === 'upstream' && outcome === 'ok')), [], 'nothing was started, and nothing reached')

  let said = ''
  t.equal(await check({ env: {}, file: join(folder, 'upstreams.yaml'), out: (text) => { said += text } }), 0)
  t.match(said, /^warning: archive will be refused: npx http:.* It cannot be pinned/m)
  said = ''
  t.equal(await doctor({ env: { PORTCULLIS_CONFIG: join(folder, 'upstreams.yaml'), PORTCULLIS_DATA: join(folder, 'gone'), METRICS_PORT: `${await freePort()}` }, out: (text) => { said += text } }), 1)
  t.match(said, /^failed +packages +archive is refused: npx http:.* It cannot be pinned/m)
})

t.test('with the hosts that it may reach it runs as it is written: in its cell, through the proxy, announced and on the record', async (t) => {
  const registry = await npmRegistry(t)
  const elsewhere = await npmRegistry(t)
  registry.publish({ name: 'helper', version: '2.0.1', files: { 'index.mjs': 'export const two = 2\n' } })
  registry.publish({ name: 'reaching', version: '1.0.0', dependencies: { helper: '^2.0.0' } })
  const { host, port } = new URL(registry.url)
  const folder = folderFor(t)
  const command = `npx -y ${registry.url}/-/reaching/1.0.0.tgz`
  const { gateway, reach, config } = await shop(t, registry, folder, command, { sandbox: { network: [host] }, timeouts: { start: '120s', call: '60s' } })
  const sentence = new RegExp(`tool is NOT pinned: npx .*1\\.0\\.0\\.tgz is not the name of a package in the registry\\. Whenever it starts it downloads whatever ${host} has, and runs that\\.`)

  t.match(JSON.parse(logged(gateway, 'is NOT pinned')), { level: 'warn', upstream: 'tool', msg: sentence })
  t.match(await gateway.rows({ kind: 'gateway' }), [{ detail: { event: 'unpinned', upstreams: [{ upstream: 'tool', reaches: [host] }] } }, { detail: { event: 'start' } }], 'before anything is listened to')
  t.match(welcome({ firstAdmin: undefined, sandboxProblems: [] }, config), sentence)
  t.same(registry.asked, [], 'nothing is downloaded before it is needed')

  t.match(await reach({ how: 'direct', host: '127.0.0.1', port: Number(port) }), /^failed: ECONNREFUSED/, 'it runs, and has no network but the proxy')
  t.ok(registry.asked.some((path) => path.endsWith('reaching/1.0.0.tgz')) && registry.asked.some((path) => path.includes('helper')), 'npx downloaded it and what it needs')
  t.match(await reach({ how: 'connect', host: '127.0.0.1', port: Number(new URL(elsewhere.url).port) }), /403|failed/, 'the list bounds what it downloads and what it does')
  t.same(elsewhere.asked, [])
  t.match(await gateway.rows({ kind: 'upstream' }), [{ upstream: 'tool', detail: { event: 'unpinned', digest: null, reaches: [host] } }, { detail: { event: 'start' } }], 'that it has no pin is on the record before it starts')
  const egress = await gateway.rows({ kind: 'egress', decision: 'allow' })
  t.ok(egress.length > 0 && egress.every(({ upstream, tool }) => upstream === 'tool' && tool === host), 'so is each connection')
  t.notOk(existsSync(join(folder, 'upstreams.lock.json')))
  t.notOk(existsSync(join(folder, 'data/packages')), 'nothing of it stays')

  let said = ''
  const out = (text: string): void => { said += text }
  t.equal(await check({ env: {}, file: join(folder, 'upstreams.yaml'), out }), 0)
  t.match(said, sentence)
  t.match(said, /^warning: tool is NOT pinned/m)
  said = ''
  t.equal(await doctor({ env: { PORTCULLIS_CONFIG: join(folder, 'upstreams.yaml'), PORTCULLIS_DATA: join(folder, 'gone'), METRICS_PORT: `${await freePort()}` }, out }), 0)
  t.match(said, /^warning +packages +tool is NOT pinned/m)
  said = ''
  t.equal(await pin({ config, ledger: gateway.gateway.ledger, out }, undefined), 0)
  t.match(said, sentence)
})

t.test('when that it has no pin cannot be recorded, it does not start', async (t) => {
  const registry = await npmRegistry(t)
  registry.publish({ name: 'reaching', version: '1.0.0' })
  const folder = folderFor(t)
  const file = join(folder, 'upstreams.yaml')
  writeFileSync(file, `upstreams: { tool: { command: npx -y ${registry.url}/-/reaching/1.0.0.tgz, sandbox: { network: ["${new URL(registry.url).host}"] } } }\n`)
  const config = loadConfig({ PORTCULLIS_DATA: join(folder, 'data') }, { file })
  const spec = config.upstreams.get('tool')
  if (spec === undefined) throw new Error('the configuration has no upstream "tool"')
  const connections = (): Promise<never> => { throw new Error('nothing should be reached') }
  const cells = openCells(config, { egress: connections, pinned () {}, unpinned () { throw new Refusal('PORTCULLIS_LEDGER_UNAVAILABLE') } })
  t.teardown(async () => await cells.close())
  const before = descendantsOf(process.pid)
  await t.rejects(cells.spawn(spec, { id: 'alice', name: 'alice' }, { egress: connections, stderr () {} }), { code: 'PORTCULLIS_LEDGER_UNAVAILABLE' })
  t.same(descendantsOf(process.pid), before, 'no process')
  t.same(registry.asked, [], 'and no download')
})
