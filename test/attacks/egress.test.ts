import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { fixtures, startGateway } from '../support/gateway.ts'
import type { Row, TestGateway } from '../support/gateway.ts'

/** A web server on this machine that counts who reaches it. */
async function website (t: Test): Promise<{ port: number, hits: string[] }> {
  const hits: string[] = []
  const server = createServer((request, response) => {
    hits.push(`${request.method ?? ''} ${request.headers.host ?? ''} ${request.headers['proxy-authorization'] ?? ''}`.trim())
    response.end('hello from the site')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, hits }
}

/** A gateway whose upstream may reach what `sandbox` says, and a hand on its one tool. */
async function reaching (t: Test, sandbox: Record<string, unknown>): Promise<{ gateway: TestGateway, reach: (args: object) => Promise<string> }> {
  const gateway = await startGateway(t, {
    yaml: {
      upstreams: { net: { command: ['node', join(fixtures, 'reaching.mjs')], sandbox } },
      roles: { user: { allow: ['net/*'] } },
      guards: { defaults: false }, // the names of metadata services would not even reach the upstream
      limits: [],
    },
  })
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

t.test('T43: an upstream reaches what its network names, and every connection is on the record with the call it was made for', async (t) => {
  const site = await website(t)
  const { gateway, reach } = await reaching(t, { network: [`localhost:${site.port}`], private: ['127.0.0.0/8', '::1'] })
  t.match(await reach({ how: 'connect', host: 'localhost', port: site.port }), /^200 HTTP\/1\.1 200 OK[^]*hello from the site/)
  t.match(await reach({ how: 'plain', host: 'LOCALHOST', port: site.port, header: 'elsewhere.example' }), '200 hello from the site')
  t.same(site.hits, ['GET localhost', `GET localhost:${site.port}`], 'under the name that was judged, and without what was meant for the proxy')

  const rows = await egress(gateway)
  t.match(rows, [{ upstream: 'net', tool: `localhost:${site.port}`, decision: 'allow', outcome: 'ok' }, { decision: 'allow' }])
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
