import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fixture, fixtures, startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'
import { modernTool, read } from '../support/wire.ts'

/** What came of a call of a 2026-07-28 client: the code of its refusal, or its text, and what it says. */
async function call (gateway: TestGateway, token: string, upstream: string, name: string, args: object = {}): Promise<{ code: unknown, text: string }> {
  const { body: { result, error }, text } = await read(await gateway.post(`/mcp/${upstream}`, token, ...modernTool(name, args)))
  const meta = result?.['_meta'] as Record<string, { code?: string }> | undefined
  return { code: meta?.['portcullis/refusal']?.code ?? error?.data['code'] ?? result?.content?.[0]?.text, text }
}

const scrape = async (gateway: TestGateway): Promise<string> => await (await fetch(gateway.metricsUrl)).text()

t.test('names invented for an upstream that is down share one counter of their user and one label, also after a restart', async (t) => {
  const database = await testDatabase(t)
  const yaml = {
    upstreams: { down: { command: ['node', '-e', 'process.exit(1)'] } },
    roles: { user: { allow: ['down/*'] } },
    limits: [{ calls: 3, per: 'hour', by: ['user', 'tool'] }],
  }
  const gateway = await startGateway(t, { database, yaml })
  const [alice, bob] = [await gateway.addUser('alice', ['user']), await gateway.addUser('bob', ['user'])]
  for (let i = 1; i <= 3; i++) t.equal((await call(gateway, alice, 'down', `invented_${i}`)).code, 'PORTCULLIS_UPSTREAM_UNAVAILABLE')
  t.match(await call(gateway, alice, 'down', 'invented_4'), { code: 'PORTCULLIS_RATE_LIMITED', text: /names that cannot be called/ })
  t.equal((await call(gateway, bob, 'down', 'invented_4')).code, 'PORTCULLIS_UPSTREAM_UNAVAILABLE', 'nobody else pays for it')
  const scraped = await scrape(gateway)
  t.match(scraped, /portcullis_calls_total\{upstream="_unknown",tool="_unknown",outcome="refused"\} 5/)
  t.notMatch(scraped, /invented/)
  await gateway.gateway.close(0)

  const again = await startGateway(t, { database, yaml, folder: gateway.folder })
  t.match(await call(again, await again.login('alice', 'password of alice, long enough'), 'down', 'invented_5'), { code: 'PORTCULLIS_RATE_LIMITED', text: /names that cannot be called/ })
})

t.test('a tool that the upstream listed before it went down keeps its own counter and its own label', async (t) => {
  const folder = t.testdir()
  const shared = join(folder, 'shared')
  const well = 'if (require(\'fs\').existsSync(\'/shared/ill\')) process.exit(1); else import(\'/fixtures/upstream.mjs\')'
  const gateway = await startGateway(t, {
    folder,
    yaml: {
      upstreams: { fixture: fixture({ shared, command: ['node', '-e', well], sandbox: { write: [`${shared}:/shared`], read: [`${fixtures}:/fixtures`] } }) },
      roles: { user: { allow: ['fixture/*'] } },
      limits: [{ calls: 2, per: 'hour', by: ['user', 'tool'] }],
    },
  })
  const token = await gateway.addUser('alice', ['user'])
  t.equal((await call(gateway, token, 'fixture', 'echo', { text: 'hello' })).code, 'hello')
  writeFileSync(join(shared, 'ill'), '')
  await call(gateway, token, 'fixture', 'crash')
  for (const name of ['invented_1', 'invented_2', 'echo']) t.equal((await call(gateway, token, 'fixture', name, { text: 'x' })).code, 'PORTCULLIS_UPSTREAM_UNAVAILABLE', name)
  t.match(await call(gateway, token, 'fixture', 'echo', { text: 'x' }), { code: 'PORTCULLIS_RATE_LIMITED', text: /for fixture\/echo is used up/ })
  t.match(await call(gateway, token, 'fixture', 'invented_3'), { code: 'PORTCULLIS_RATE_LIMITED', text: /names that cannot be called/ })
  const scraped = await scrape(gateway)
  t.match(scraped, /portcullis_calls_total\{upstream="fixture",tool="echo",outcome="refused"\} 2/)
  t.notMatch(scraped, /invented/)
  t.equal(gateway.calls().filter(({ method }) => method === 'tools/call').length, 2, 'nothing but the echo and the crash reached it')
})

t.test('a limit on a tool counts the calls that find its upstream not started yet', async (t) => {
  const gateway = await startGateway(t, { yaml: { limits: [{ calls: 2, per: 'hour', by: ['user'], tool: 'fixture/echo' }] } })
  const token = await gateway.addUser('alice', ['user'])
  const codes = await Promise.all(Array.from({ length: 5 }, async () => (await call(gateway, token, 'fixture', 'echo', { text: 'hello' })).code))
  t.same(codes.sort(), [...Array<string>(3).fill('PORTCULLIS_RATE_LIMITED'), 'hello', 'hello'])
  t.equal(gateway.calls().filter(({ method }) => method === 'tools/call').length, 2)
})
