import { chmodSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { adminPassword, freePort, startGateway, until } from '../support/gateway.ts'
import type { Row } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'
import { configuration, egress, reaching } from '../support/reaching.ts'
import { connectAdmin, ready, serve } from '../support/serve.ts'

/** Answers what it is sent, and hangs up on nobody. */
async function echo (t: Test): Promise<number> {
  const open = new Set<Socket>()
  const server = createServer((socket) => { open.add(socket.on('error', () => {})); socket.pipe(socket) })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { for (const socket of open) socket.destroy(); server.close() })
  return (server.address() as AddressInfo).port
}

t.test('a connection that cannot be made, and one that is open, are on the record as what they are', async (t) => {
  const port = await echo(t)
  const closed = await freePort()
  const { gateway, reach } = await reaching(t, { network: [`localhost:${port}`, `localhost:${closed}`], private: ['127.0.0.0/8', '::1'] })
  t.match(await reach({ how: 'connect', host: 'localhost', port: closed }), /^502 /)
  t.equal(await reach({ how: 'hold', host: 'localhost', port }), '200 hello')
  t.match(await egress(gateway), [
    { tool: `localhost:${closed}`, decision: 'allow', outcome: 'error', code: 'ECONNREFUSED', bytes_in: '0', bytes_out: '0' },
    { tool: `localhost:${port}`, decision: 'allow', outcome: 'in_flight', bytes_in: null },
  ])

  await gateway.gateway.close(0)
  const { rows } = await gateway.database.pool.query<Row>("select * from ledger.attempt where kind = 'egress' order by time")
  t.match(rows[1], { outcome: /^(ok|cancelled)$/, bytes_in: '5', bytes_out: '5', duration_ms: Number, detail: { owner: String } }, 'nothing is lost when the gateway stops, whichever end of it goes first')
})

t.test('T52: of a connection that was open when the gateway was killed, the record says that nobody knows', async (t) => {
  const port = await echo(t)
  const database = await testDatabase(t)
  const folder = t.testdir({ 'upstreams.yaml': stringify(configuration({ network: [`localhost:${port}`], private: ['127.0.0.0/8', '::1'] })) })
  chmodSync(folder, 0o755)
  const at = await freePort()
  const killed = serve(t, ['--config', join(folder, 'upstreams.yaml')], { PORT: `${at}`, METRICS_PORT: `${await freePort()}`, PORTCULLIS_DATA: join(folder, 'data'), PORTCULLIS_ADMIN_PASSWORD: adminPassword, DATABASE_URL: database.url })
  await ready(`http://127.0.0.1:${at}`, killed)
  const client = await connectAdmin(t, `http://127.0.0.1:${at}`, '/mcp/net')
  t.match(await client.callTool({ name: 'reach', arguments: { how: 'hold', host: 'localhost', port } }), { content: [{ text: '200 hello' }] })
  killed.process.kill('SIGKILL')
  await killed.ended

  const next = await startGateway(t, { folder, database, yaml: configuration({}) })
  await until(async () => (await egress(next))[0]?.['outcome'] === 'unknown', 30_000)
  t.match(await egress(next), [{ tool: `localhost:${port}`, decision: 'allow', outcome: 'unknown', detail: { calls: [String] } }])
})
