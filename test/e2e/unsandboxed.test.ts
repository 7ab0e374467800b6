import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import { welcome } from '../../src/welcome.ts'
import { loadConfig } from '../../src/config/config.ts'
import { openBrowser } from '../oauth/browser.ts'
import { adminPassword, fixtures, freePort, startGateway } from '../support/gateway.ts'
import { serve } from '../support/serve.ts'

t.test('an upstream without a sandbox is refused unless the command line allows it, and its program never runs', async (t) => {
  const folder = t.testdir()
  const marker = join(folder, 'it-ran')
  t.testdir({ 'upstreams.yaml': stringify({ upstreams: { bare: { command: ['touch', marker], sandbox: 'none' } } }) })
  const port = await freePort()
  const { ended, said } = serve(t, ['--config', join(folder, 'upstreams.yaml')], { PORT: `${port}`, METRICS_PORT: `${await freePort()}`, PORTCULLIS_DATA: join(folder, 'data') })
  t.equal(await ended, 1)
  t.match(said(), /upstreams\.yaml:\d+:\d+ upstreams\.bare\.sandbox: "sandbox: none" is refused: start the gateway with --allow-unsandboxed/)
  await t.rejects(fetch(`http://127.0.0.1:${port}/livez`), 'nothing listens')
  t.notOk(existsSync(marker))
})

t.test('one that is allowed is announced at the start: in the log, on the record, in the metrics and on the account page', async (t) => {
  const server = (name: string, sandbox: unknown): object => ({ [name]: { command: ['node', join(fixtures, 'reaching.mjs')], ...(sandbox === undefined ? {} : { sandbox }) } })
  const gateway = await startGateway(t, {
    yaml: {
      upstreams: { ...server('bare', 'none'), ...server('celled', undefined) },
      roles: { user: { allow: ['celled/*'] }, admin: { allow: ['*/*'] } },
    },
  })
  t.match(gateway.log(), /"level":"warn"[^\n]*"upstreams":\["bare"\][^\n]*run WITHOUT a sandbox/)
  t.match(await gateway.rows({ kind: 'gateway' }), [{ outcome: 'ok', detail: { event: 'unsandboxed', upstreams: ['bare'], allowedBy: '--allow-unsandboxed' } }, { detail: { event: 'start' } }], 'before anybody could call')
  t.match(await (await fetch(gateway.metricsUrl)).text(), /^portcullis_unsandboxed_upstreams 1$/m)

  await gateway.addUser('alice', ['user'])
  const account = async (username: string, password: string): Promise<string> => {
    const browser = openBrowser(gateway.url)
    return (await browser.submit(await browser.open(`${gateway.url}/account`), { username, password })).html
  }
  const operators = await account('admin', adminPassword)
  t.match(operators, /bare<\/p><p class="badge"[^>]*>No sandbox</)
  t.match(operators, /celled<\/p><p class="remark">Sandboxed by bubblewrap</)
  const alices = await account('alice', 'password of alice, long enough')
  t.match(alices, 'Sandboxed by bubblewrap')
  t.notMatch(alices, /bare|badge/, 'what somebody does not reach is not named')
})

t.test('where every upstream has a sandbox there is nothing to announce, and the metric says so', async (t) => {
  const gateway = await startGateway(t)
  t.notMatch(gateway.log(), /WITHOUT a sandbox/)
  t.same((await gateway.rows({ kind: 'gateway' })).map(({ detail }) => (detail as { event: string }).event), ['start'])
  t.match(await (await fetch(gateway.metricsUrl)).text(), /^portcullis_unsandboxed_upstreams 0$/m)
})

t.test('what a person reads at the start names it in capitals', async (t) => {
  const file = join(t.testdir({ 'upstreams.yaml': 'upstreams: { bare: { command: cat, sandbox: none }, celled: { command: cat } }\n' }), 'upstreams.yaml')
  const said = welcome({ firstAdmin: undefined, sandboxProblems: [] }, loadConfig({}, { file, allowUnsandboxed: true }))
  t.match(said, /WARNING: running WITHOUT a sandbox, with everything this machine's user may do: bare\n/)
})
