import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { doctor } from '../../src/commands/doctor.ts'
import type { Finding } from '../../src/commands/doctor/finding.ts'
import type { Standing } from '../../src/readiness.ts'
import { fixtures, freePort, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

interface Said { readonly code: number, readonly ok: boolean, readonly findings: readonly Finding[] }

t.test('the doctor, /readyz and the metrics say the same of every upstream: well, missing, empty, broken, crashing, recovered', async (t) => {
  const folder = place(t)
  const moods = join(folder, 'moods')
  mkdirSync(moods)
  const ill = (name: string, mood: string): void => writeFileSync(join(moods, name), mood)
  const names = ['well', 'empty', 'broken', 'brief']
  for (const name of names) ill(name, name)
  const gateway = await startGateway(t, {
    folder,
    yaml: {
      upstreams: { ...Object.fromEntries(names.map((name) => [name, { command: ['node', join(fixtures, 'poorly.mjs')], env: { MOOD: `/moods/${name}` }, sandbox: { read: [`${moods}:/moods`] } }])), missing: { command: '/nowhere/at-all' }, lost: { command: ['node', 'gone.js'] }, wordless: { command: ['sh', '-c', 'echo one >&2; echo two >&2; exit 3'] } },
      roles: { user: { allow: ['well/*'] }, admin: { allow: ['*/*'] } },
      health: { every: '1s' },
    },
  })
  const env = envOf(gateway, folder)

  await t.test('while the gateway runs it is asked, and nothing is started', async (t) => {
    await until(async () => agree(await standing(gateway), { well: 'ready', empty: 'empty', broken: 'failing', brief: 'failing', missing: 'failing', lost: 'failing', wordless: 'failing' }), 60_000)
    const { code, ok, findings } = await consult(env)
    t.same([code, ok], [1, false], 'something failed')
    const upstreams = findings.filter(({ part }) => part.startsWith('upstream '))
    t.ok(upstreams.every(({ by }) => by === 'gateway'))
    t.same(statesIn(upstreams), { well: 'ok', empty: 'warning', broken: 'failed', brief: 'failed', missing: 'failed', lost: 'failed', wordless: 'failed' })
    const { checks } = await (await fetch(`${gateway.url}/readyz`)).json() as { checks: { upstreams: { counts: object } } }
    t.same(checks.upstreams.counts, { ready: 1, empty: 1, failing: 5 })
    const metrics = await (await fetch(gateway.metricsUrl)).text()
    for (const [name, state] of Object.entries(statesIn(upstreams))) t.match(metrics, `portcullis_upstream_ready{upstream="${name}"} ${state === 'ok' ? 1 : 0}\n`)
    t.match(findings.filter(({ part }) => !part.startsWith('upstream ')), [{ part: 'configuration', state: 'ok' }, { part: 'gateway', state: 'ok', by: 'gateway' }, { part: 'sandbox bubblewrap', state: 'ok' }, { part: 'database', state: 'ok' }, { part: 'keys', state: 'ok' }, { part: 'spool', state: 'ok', by: 'gateway' }, { part: 'audit', state: 'ok' }])
  })

  await t.test('what has recovered is well for all three', async (t) => {
    for (const name of names) ill(name, 'well')
    await until(async () => agree(await standing(gateway), { well: 'ready', empty: 'ready', broken: 'ready', brief: 'ready', missing: 'failing', lost: 'failing', wordless: 'failing' }), 120_000)
    t.same(statesIn((await consult(env)).findings.filter(({ part }) => part.startsWith('upstream '))), { well: 'ok', empty: 'ok', broken: 'ok', brief: 'ok', missing: 'failed', lost: 'failed', wordless: 'failed' })
    t.match(await (await fetch(gateway.metricsUrl)).text(), 'portcullis_upstream_ready{upstream="brief"} 1\n')
  })

  await t.test('when none runs it starts each itself, on the record, and leaves nothing behind', async (t) => {
    await gateway.gateway.close(0)
    for (const name of names) ill(name, name)
    const { code, findings } = await consult(env)
    t.equal(code, 1)
    const upstreams = findings.filter(({ part }) => part.startsWith('upstream '))
    t.ok(upstreams.every(({ by }) => by === 'doctor'))
    t.same(statesIn(upstreams), { well: 'ok', empty: 'warning', broken: 'failed', brief: 'failed', missing: 'failed', lost: 'failed', wordless: 'failed' })
    t.match(upstreams.find(({ part }) => part === 'upstream well')?.text, /^2 tools in \d+ ms, session era\.$/)
    t.match(upstreams.find(({ part }) => part === 'upstream missing')?.text, /It does not start: .*\/nowhere\/at-all/)
    t.match(upstreams.find(({ part }) => part === 'upstream lost')?.remedy, /^It said: Error: Cannot find module '\S+gone\.js'$/, 'and not the stack that comes after it')
    t.match(upstreams.find(({ part }) => part === 'upstream wordless')?.remedy, /^It said: one \/ two$/)
    const { rows } = await gateway.database.pool.query<{ owner: string }>("select detail->>'owner' as owner from ledger.attempt where kind = 'upstream' and upstream = 'well' order by time desc limit 1")
    t.same(rows, [{ owner: 'health:well' }])
    t.match(findings[1], { part: 'gateway', state: 'ok', text: /None runs here/ })
    t.equal(readdirSync(join(folder, 'data', 'ledger')).length, 0, 'its own records are in the database')
  })

  await t.test('a checkpoint that was changed, a database and a Redis that are away are said', async (t) => {
    const checkpoints = join(folder, 'data', 'checkpoints')
    for (const name of readdirSync(checkpoints)) writeFileSync(join(checkpoints, name), readFileSync(join(checkpoints, name), 'utf8').replaceAll(/"seq":(\d)/g, '"seq":9$1'))
    const { findings } = await consult({ ...env, DATABASE_URL: `postgres://127.0.0.1:${await freePort()}/gone`, REDIS_URL: `redis://127.0.0.1:${await freePort()}` })
    t.match(statesIn(findings), { audit: 'failed', database: 'failed', redis: 'failed', upstreams: 'warning' })
    t.match(findings.find(({ part }) => part === 'upstreams')?.text, /not started/, 'nothing runs that cannot be recorded')
  })
})

t.test('on a fresh machine it says what there is to say, and makes nothing', async (t) => {
  const folder = place(t)
  writeFileSync(join(folder, 'upstreams.yaml'), 'upstreams: { one: { command: cat } }\n')
  const env = { PORTCULLIS_CONFIG: join(folder, 'upstreams.yaml'), PORTCULLIS_DATA: join(folder, 'data'), METRICS_PORT: `${await freePort()}` }
  const { code, findings } = await consult(env)
  t.equal(code, 0)
  t.match(findings.at(-1), { part: 'data', state: 'warning', text: /No gateway has run/, remedy: /portcullis serve/ })
  t.notOk(existsSync(join(folder, 'data')))
  let text = ''
  await doctor({ env, out: (said) => { text += said } })
  t.match(text, /^ok {7}sandbox bubblewrap {2}It confines on this machine\.$/m)
  t.match(text, /0 failed, 2 warnings, \d+ ok\.\n$/)
})

t.test('a configuration with mistakes is all there is to say', async (t) => {
  const folder = place(t)
  writeFileSync(join(folder, 'upstreams.yaml'), 'upstreams: { one: { comand: cat } }\n')
  const { code, findings } = await consult({ PORTCULLIS_CONFIG: join(folder, 'upstreams.yaml') })
  t.equal(code, 1)
  t.ok(findings.every(({ part }) => part === 'configuration'))
  t.match(findings.map(({ text }) => text).join('\n'), /upstreams\.yaml:1:\d+ .*comand/)
})

function place (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-doctor-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function consult (env: NodeJS.ProcessEnv): Promise<Said> {
  let text = ''
  const code = await doctor({ env, json: true, out: (said) => { text += said } })
  return { code, ...JSON.parse(text) as Omit<Said, 'code'> }
}

function envOf ({ metricsUrl, url, database }: TestGateway, folder: string): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], PORT: new URL(url).port, METRICS_PORT: new URL(metricsUrl).port, PORTCULLIS_CONFIG: join(folder, 'upstreams.yaml'), PORTCULLIS_DATA: join(folder, 'data'), DATABASE_URL: database.url }
}

async function standing ({ metricsUrl }: TestGateway): Promise<Standing> {
  return await (await fetch(metricsUrl.replace('/metrics', '/readyz'))).json() as Standing
}

function agree ({ upstreams }: Standing, expected: Readonly<Record<string, string>>): boolean {
  return upstreams.every(({ upstream, state }) => expected[upstream] === state)
}

function statesIn (findings: readonly Finding[]): Record<string, string> {
  return Object.fromEntries(findings.map(({ part, state }) => [part.replace('upstream ', ''), state]))
}
