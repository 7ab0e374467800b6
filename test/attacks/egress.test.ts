import { chmodSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { adminPassword, fixtures, freePort, startGateway, until } from '../support/gateway.ts'
import type { Row, TestGateway } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'
import { connectAdmin, ready, serve } from '../support/serve.ts'

/** A web server on this machine that counts who reaches it, and what went over the connections that have ended. */
async function website (t: Test): Promise<{ port: number, hits: string[], traffic: { bytes_in: number, bytes_out: number }[] }> {
  const hits: string[] = []
  const traffic: { bytes_in: number, bytes_out: number }[] = []
  const server = createServer((request, response) => {
    hits.push(`${request.method ?? ''} ${request.headers.host ?? ''} ${request.headers['proxy-authorization'] ?? ''}`.trim())
    response.end('hello from the site')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.on('connection', (socket) => socket.once('close', () => traffic.push({ bytes_in: socket.bytesWritten, bytes_out: socket.bytesRead })))
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, hits, traffic }
}

/** Answers what it is sent, and hangs up on nobody. */
async function echo (t: Test): Promise<number> {
  const open = new Set<Socket>()
  const server = createTcpServer((socket) => { open.add(socket.on('error', () => {})); socket.pipe(socket) })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { for (const socket of open) socket.destroy(); server.close() })
  return (server.address() as AddressInfo).port
}

function configuration (sandbox: Record<string, unknown>): Record<string, unknown> {
  return {
    upstreams: { net: { command: ['node', join(fixtures, 'reaching.mjs')], sandbox } },
    roles: { user: { allow: ['net/*'] }, admin: { allow: ['*/*'] } },
    guards: { defaults: false }, // the names of metadata services would not even reach the upstream
    limits: [],
  }
}

/** A gateway whose upstream may reach what `sandbox` says, and a hand on its one tool. */
async function reaching (t: Test, sandbox: Record<string, unknown>): Promise<{ gateway: TestGateway, reach: (args: object) => Promise<string> }> {
  const gateway = await startGateway(t, { yaml: configuration(sandbox) })
  const client = await gateway.client('/mcp/net', await gateway.addUser('alice', ['user']))
  return {
    gateway,
    reach: async (args) => {
      const { content } = await client.callTool({ name: 'reach', arguments: { ...args } }) as { content: { text: string }[] }
      return content[0]?.text ?? ''
    },
  }
}

const egress = async (gateway: TestGateway): Promise<Row[]> => await gateway.rows({ kind: 'egress' })

/** The same, when none of them is open any more. */
async function ended (gateway: TestGateway): Promise<Row[]> {
  await until(async () => (await egress(gateway)).every(({ outcome }) => outcome !== 'in_flight'))
  return await egress(gateway)
}

t.test('T43: an upstream reaches what its network names, and every connection is on the record with the call it was made for', async (t) => {
  const site = await website(t)
  const { gateway, reach } = await reaching(t, { network: [`localhost:${site.port}`], private: ['127.0.0.0/8', '::1'] })
  t.match(await reach({ how: 'connect', host: 'localhost', port: site.port }), /^200 HTTP\/1\.1 200 OK[^]*hello from the site/)
  t.match(await reach({ how: 'plain', host: 'LOCALHOST', port: site.port, header: 'elsewhere.example' }), '200 hello from the site')
  t.same(site.hits, ['GET localhost', `GET localhost:${site.port}`], 'under the name that was judged, and without what was meant for the proxy')

  const rows = await ended(gateway)
  t.match(rows, [{ upstream: 'net', tool: `localhost:${site.port}`, decision: 'allow', outcome: 'ok', duration_ms: Number }, { decision: 'allow', outcome: 'ok', duration_ms: Number }])
  t.same(rows.map(({ bytes_in, bytes_out }) => ({ bytes_in: Number(bytes_in), bytes_out: Number(bytes_out) })), site.traffic, 'with what went each way, to the byte') // eslint-disable-line camelcase -- columns
  const calls = await gateway.rows({ method: 'tools/call' })
  t.same(rows.map(({ detail }) => (detail as { calls: string[] }).calls), calls.map(({ record }) => [record]))
  t.match(await (await fetch(gateway.metricsUrl)).text(), /portcullis_egress_total\{upstream="net",result="allowed"\} 2/)
})

t.test('T43: nothing else is reached: not another port, name or address, nor metadata, nor directly', async (t) => {
  const site = await website(t)
  const other = await website(t)
  const { gateway, reach } = await reaching(t, { network: [`localhost:${site.port}`, '*.example.com'], private: ['127.0.0.0/8', '::1'] })
  const refused = [
    ['another port', { host: 'localhost', port: other.port }],
    ['the database of the gateway', { host: 'localhost', port: Number(new URL(gateway.database.url).port || 5432) }],
    ['the gateway itself', { host: 'localhost', port: Number(new URL(gateway.url).port) }],
    ['the address behind an allowed name', { host: '127.0.0.1', port: site.port }],
    ['the same in IPv6', { host: '[::1]', port: site.port }],
    ['the same in other spellings', { host: '2130706433', port: site.port }],
    ['the same in hexadecimal', { host: '0x7f.1', port: site.port }],
    ['the same mapped into IPv6', { host: '[::ffff:127.0.0.1]', port: site.port }],
    ['metadata of a cloud', { host: '169.254.169.254', port: 80 }],
    ['metadata by name', { host: 'metadata.google.internal', port: 80 }],
    ['the name above a wildcard', { host: 'example.com', port: 443 }],
    ['a name that ends alike', { host: 'evil-example.com', port: 443 }],
    ['a name that goes on', { host: `localhost:${site.port}.example.net`, port: site.port }],
  ] as const
  for (const [name, target] of refused) {
    for (const how of ['connect', 'plain']) t.match(await reach({ how, ...target }), /^(403|400) /, `${name}, ${how}`)
  }
  t.match(await reach({ how: 'direct', host: '127.0.0.1', port: site.port }), /^failed: (ECONNREFUSED|EPERM)/, 'directly')
  t.match(await reach({ how: 'direct', host: 'localhost', port: site.port }), /^failed: /, 'directly, by name')
  t.match(await reach({ how: 'direct', host: '169.254.169.254', port: 80 }), /^failed: ENETUNREACH/, 'metadata, directly')
  t.same([...site.hits, ...other.hits], [], 'and nobody was contacted')

  const rows = await egress(gateway)
  t.ok(rows.length >= refused.length * 2 - 2, 'each is on the record')
  t.ok(rows.every(({ decision, outcome }) => decision === 'deny' && outcome === 'refused'))
})

t.test('T43: an allowed name that leads to this machine or a private network is refused, unless that is granted', async (t) => {
  const site = await website(t)
  const { gateway, reach } = await reaching(t, { network: [`localhost:${site.port}`] })
  for (const how of ['connect', 'plain']) t.match(await reach({ how, host: 'localhost', port: site.port }), /^403 .*it is private, and "private" does not grant it/, how)
  t.same(site.hits, [])
  t.match(await egress(gateway), [{ decision: 'deny', detail: { reason: /it is private/ } }, {}])
})

t.test('T43: an upstream without a network finds no proxy either', async (t) => {
  const site = await website(t)
  const { gateway, reach } = await reaching(t, {})
  t.match(await reach({ how: 'connect', host: 'localhost', port: site.port }), /^failed: ECONNREFUSED/)
  t.same(site.hits, [])
  t.same(await egress(gateway), [])
})

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
  t.match(rows[1], { outcome: 'cancelled', bytes_in: '5', bytes_out: '5', duration_ms: Number, detail: { owner: String } }, 'nothing is lost when the gateway stops')
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

t.test('T52: no record, no connection', async (t) => {
  const site = await website(t)
  const { gateway, reach } = await reaching(t, { network: [`localhost:${site.port}`], private: ['127.0.0.0/8', '::1'] })
  t.match(await reach({ how: 'connect', host: 'localhost', port: site.port }), /^200/)
  const { append } = gateway.gateway.ledger
  gateway.gateway.ledger.append = (entry, options) => {
    if (entry.kind === 'egress') throw new Error('the disk is full')
    append.call(gateway.gateway.ledger, entry, options)
  }
  for (const how of ['connect', 'plain']) t.match(await reach({ how, host: 'localhost', port: site.port }), /^502 /, how)
  t.equal(site.hits.length, 1, 'only while it could be recorded')
})
