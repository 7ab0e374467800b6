import http from 'node:http'

import t from 'tap'

import { adminPassword, startGateway } from '../support/gateway.ts'

interface Storm { readonly sent: number, readonly admitted: number, readonly refused: number, readonly wrong: Record<string, number> }

const { storm }: { storm: (options: object) => Promise<Storm> } = await import(new URL('../../bench/storm.mjs', import.meta.url).href)

const options = { skip: process.platform === 'linux' ? false : 'only Linux has all of 127/8' }

t.test('of a hundred people who log in at once, some are admitted, the others told when to come back, and calls go on (36)', options, async (t) => {
  const gateway = await startGateway(t, { yaml: { limits: [{ calls: 100_000, per: 'hour', by: ['user'] }] } })
  const client = await gateway.client('/mcp/fixture', await gateway.login())
  const running = storm({ origin: gateway.url, username: 'admin', password: adminPassword, logins: 100 })
  const seen = { over: false, calls: 0 }
  running.finally(() => { seen.over = true }).catch(() => {})
  for (; !seen.over || seen.calls === 0; seen.calls++) t.notOk((await client.callTool({ name: 'echo', arguments: { text: 'x' } })).isError)
  const { sent, admitted, refused, wrong } = await running
  t.same(wrong, {}, 'every other answer is a 503 with Retry-After')
  t.equal(admitted + refused, sent)
  t.ok(admitted >= 1 && refused >= 48, `${admitted} admitted, ${refused} refused, ${seen.calls} calls`)
  const metrics = await (await fetch(gateway.metricsUrl)).text()
  t.match(metrics, `portcullis_logins_total{result="busy"} ${refused}\n`)
  t.notMatch(gateway.log(), 'an /auth request failed', 'to be held off is no failure of the gateway')
})

t.test('registrations are limited altogether, wherever they come from (37)', options, async (t) => {
  const gateway = await startGateway(t)
  const statuses: number[] = []
  // What is refused for its content counts too: else the limit could be felt out for nothing.
  for (let address = 1; address <= 26; address++) statuses.push(...await Promise.all(Array.from({ length: 20 }, async () => await register(gateway.url, `127.2.0.${address}`))))
  t.equal(statuses.filter((status) => status === 400).length, 500)
  t.equal(statuses.filter((status) => status === 429).length, 20)
  t.equal((await gateway.database.pool.query('select from oauth_clients')).rowCount, 0)
})

/** A registration without an address to go back to, from one of this machine's addresses; its status. */
async function register (url: string, localAddress: string): Promise<number> {
  return await new Promise((resolve, reject) => {
    const request = http.request(`${url}/oauth/register`, { method: 'POST', localAddress, headers: { 'content-type': 'application/json', 'content-length': 2 } }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0))
    })
    request.on('error', reject).end('{}')
  })
}
