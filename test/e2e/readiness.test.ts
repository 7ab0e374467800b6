/* eslint-disable no-template-curly-in-string -- references of the configuration */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync, chmodSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { Standing } from '../../src/readiness.ts'
import { fixtures, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

interface Place { readonly folder: string, readonly ill: (name: string, mood: string) => void }

t.test('each upstream is as its live tool list answers, and /readyz and the metrics agree', async (t) => {
  const { folder, ill } = place(t)
  const gateway = await startGateway(t, {
    folder,
    yaml: {
      upstreams: {
        ...Object.fromEntries(['well', 'empty', 'broken', 'silent', 'brief'].map((name) => [name, poorly(folder, name)])),
        missing: { command: '/nowhere/at-all' },
        personal: poorly(folder, 'well', { env: { WHO: '${user.name}' } }),
        secret: poorly(folder, 'well', { env: { TOKEN: '${secret:nobody-has-it}' } }),
      },
      roles: { user: { allow: ['*/*'] }, admin: { allow: ['*/*'] } },
      health: { every: '1s' },
    },
  })
  const expected = { well: 'ready', empty: 'empty', broken: 'failing', silent: 'failing', brief: 'failing', missing: 'failing', personal: 'unknown', secret: 'unknown' }
  await until(async () => same(await states(gateway), expected), 60_000)
  const { upstreams } = await standing(gateway)
  const of = (name: string): Partial<Standing['upstreams'][number]> => upstreams.find(({ upstream }) => upstream === name) ?? {}
  t.match(of('well'), { listed: { tools: 2, era: 'legacy', milliseconds: Number, at: Number } })
  t.match(of('empty').reason, /lists no tool/)
  t.match(of('broken').reason, /no list today/)
  t.match(of('silent').reason, /did not answer tools\/list in time/)
  t.match(of('missing').reason, /nowhere/)
  t.match(of('personal').reason, /started for a user/)
  t.match(of('secret').reason, /secret nobody-has-it is not there for everybody/)

  const probed = await fetch(`${gateway.url}/readyz`)
  t.equal(probed.status, 200, 'the others work')
  const body = await probed.text()
  t.match((JSON.parse(body) as { checks: object }).checks, { upstreams: { ok: true, counts: { ready: 1, empty: 1, failing: 4, unknown: 2 } } })
  t.notMatch(body, /broken|nowhere|secret/, 'which it is and why is for the operator alone')

  const metrics = await scrape(gateway)
  for (const [name, state] of Object.entries(expected)) {
    const line = `portcullis_upstream_ready{upstream="${name}"}`
    if (state === 'unknown') t.notMatch(metrics, line)
    else t.match(metrics, `${line} ${state === 'ready' ? 1 : 0}\n`)
  }
  t.match(metrics, 'portcullis_upstream_tools{upstream="well"} 2\n')
  t.match(metrics, 'portcullis_upstream_tools{upstream="empty"} 0\n')

  for (const name of ['empty', 'broken', 'silent', 'brief']) ill(name, 'well')
  await until(async () => same(await states(gateway), { ...expected, empty: 'ready', broken: 'ready', silent: 'ready', brief: 'ready' }), 120_000)
  t.match(await scrape(gateway), 'portcullis_upstream_ready{upstream="brief"} 1\n', 'what has recovered is ready again')
  await until(async () => (await standing(gateway)).instances.filter(({ state }) => state === 'ready').length === 0, 60_000)
  t.pass('nothing that was started only to be looked at is left')
})

t.test('an upstream that health.required names makes the gateway unready while it fails', async (t) => {
  const { folder, ill } = place(t)
  ill('needed', 'broken')
  const gateway = await startGateway(t, {
    folder,
    yaml: { upstreams: { needed: poorly(folder, 'needed') }, roles: { admin: { allow: ['*/*'] } }, health: { every: '1s', required: ['needed'] } },
  })
  const ready = async (): Promise<Response> => await fetch(`${gateway.url}/readyz`)
  t.equal((await ready()).status, 503)
  t.match(await (await ready()).json(), { checks: { upstreams: { ok: false, reason: /health\.required/ } } })
  ill('needed', 'well')
  await until(async () => (await ready()).status === 200, 60_000)
})

t.test('an instance that is in use is asked for its list, and its user hears when it has changed', async (t) => {
  const { folder, ill } = place(t)
  const gateway = await startGateway(t, { folder, yaml: { upstreams: { well: poorly(folder, 'well') }, roles: { admin: { allow: ['*/*'] } }, health: { every: '1s', probe: false } } })
  t.same(await states(gateway), { well: 'unknown' })
  t.match((await standing(gateway)).upstreams[0]?.reason, /health\.probe is off/)
  const client = await gateway.client('/mcp/well', await gateway.login())
  let heard = 0
  client.fallbackNotificationHandler = async ({ method }) => { if (method === 'notifications/tools/list_changed') heard++ }
  t.equal((await client.listTools()).tools.length, 2)
  t.same(await states(gateway), { well: 'ready' })
  const { instances } = await standing(gateway)
  t.match(instances, [{ upstream: 'well', state: 'ready', inFlight: 0, waiting: 0 }])
  t.ok(instances.every(({ pid, processes, openFiles, rssBytes }) => pid > 0 && processes > 0 && openFiles >= 3 && rssBytes > 0))
  t.match(await scrape(gateway), /^portcullis_instance_open_fds\{upstream="well"\} [1-9]/m)
  ill('well', 'empty')
  await until(async () => same(await states(gateway), { well: 'empty' }) && heard > 0, 60_000)
  t.equal((await client.listTools()).tools.length, 0, 'the list that was kept is not given any more')
})

/** A folder whose `shared/<name>` says how ill the server of that name is. */
function place (t: Test): Place {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-readiness-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'moods'))
  const ill = (name: string, mood: string): void => writeFileSync(join(folder, 'moods', name), mood)
  for (const mood of ['well', 'empty', 'broken', 'silent', 'brief']) ill(mood, mood)
  return { folder, ill }
}

function poorly (folder: string, name: string, { env }: { env?: Record<string, string> } = {}): Record<string, unknown> {
  return { command: ['node', join(fixtures, 'poorly.mjs')], env: { MOOD: `/moods/${name}`, ...env }, sandbox: { read: [`${join(folder, 'moods')}:/moods`] }, timeouts: { call: '5s' } }
}

async function standing ({ metricsUrl }: TestGateway): Promise<Standing> {
  return await (await fetch(metricsUrl.replace('/metrics', '/readyz'))).json() as Standing
}

async function states (gateway: TestGateway): Promise<Record<string, string>> {
  return Object.fromEntries((await standing(gateway)).upstreams.map(({ upstream, state }) => [upstream, state]))
}

async function scrape ({ metricsUrl }: TestGateway): Promise<string> {
  return await (await fetch(metricsUrl)).text()
}

function same (found: Record<string, string>, expected: Record<string, string>): boolean {
  return Object.entries(expected).every(([name, state]) => found[name] === state)
}
