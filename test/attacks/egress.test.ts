import t from 'tap'
import { website } from '../support/network.ts'
import { egress, ended, reaching } from '../support/reaching.ts'

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
  const onRecord: boolean[] = []
  for (const [name, target] of refused) {
    for (const how of ['connect', 'plain']) {
      const answer = await reach({ how, ...target })
      t.match(answer, /^(403|400) /, `${name}, ${how}`)
      onRecord.push(answer.startsWith('403')) // what is no address is not a connection
    }
  }
  t.match(await reach({ how: 'direct', host: '127.0.0.1', port: site.port }), /^failed: (ECONNREFUSED|EPERM)/, 'directly')
  t.match(await reach({ how: 'direct', host: 'localhost', port: site.port }), /^failed: /, 'directly, by name')
  t.match(await reach({ how: 'direct', host: '169.254.169.254', port: 80 }), /^failed: ENETUNREACH/, 'metadata, directly')
  t.same([...site.hits, ...other.hits], [], 'and nobody was contacted')

  const calls = (await gateway.rows({ method: 'tools/call' })).filter((_, index) => onRecord[index])
  t.ok(calls.length >= refused.length * 2 - 2)
  t.match(await egress(gateway), calls.map(({ record }) => ({ upstream: 'net', decision: 'deny', outcome: 'refused', tool: String, detail: { owner: String, reason: String, calls: [record] } })), 'each is on the record, with the call it was made for')
  t.equal((await egress(gateway)).length, calls.length, 'and nothing else is')
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
