import t from 'tap'
import { detour, resolver, website } from '../support/network.ts'
import { ended, reaching } from '../support/reaching.ts'

const name = 'rebind.example'

t.test('T43: a name that leads elsewhere at the second look-up leads nowhere: the address that was judged is dialled', async (t) => {
  const granted = await website(t, '127.0.0.2')
  const loopback = await website(t, '127.0.0.1', granted.port)
  const { gateway, reach } = await reaching(t, { network: [`${name}:${granted.port}`], private: ['127.0.0.2'] })
  for (const [turn, how] of ['connect', 'plain'].entries()) {
    await t.test(how, async (t) => {
      const asked = resolver(t, name, ['127.0.0.2', '127.0.0.1'])
      t.match(await reach({ how, host: name, port: granted.port }), /hello from the site/)
      t.equal(asked(), 1, 'it is looked up once')
      t.equal(granted.hits.length, turn + 1)
      t.match(await reach({ how, host: name, port: granted.port }), /^403 .*127\.0\.0\.1: it is private/, 'the next connection is judged anew')
      t.equal(asked(), 2)
    })
  }
  t.same(loopback.hits, [])
  t.match(await ended(gateway), [
    { tool: `${name}:${granted.port}`, decision: 'allow', outcome: 'ok', detail: { address: '127.0.0.2', calls: [String] } },
    { tool: `${name}:${granted.port}`, decision: 'deny', outcome: 'refused', detail: { address: '127.0.0.1', reason: /private/, calls: [String] } },
    { decision: 'allow', detail: { address: '127.0.0.2' } },
    { decision: 'deny', detail: { address: '127.0.0.1' } },
  ])
})

/** Public, as addresses go; what is dialled there stays on this machine. */
const far = '93.184.216.34'

for (const [inside, reason] of [['127.0.0.1', /it is private/], ['169.254.169.254', /leads to the metadata of the host/]] as const) {
  t.test(`T43: a public name that turns into ${inside} never leads there`, async (t) => {
    const site = await website(t, '127.0.0.3')
    const loopback = await website(t, '127.0.0.1', site.port)
    const dialled = { far: detour(t, far, '127.0.0.3'), metadata: detour(t, '169.254.169.254', '127.0.0.1') }
    const { gateway, reach } = await reaching(t, { network: [`${name}:${site.port}`] })
    for (const how of ['connect', 'plain']) {
      await t.test(how, async (t) => {
        const asked = resolver(t, name, [far, inside])
        t.match(await reach({ how, host: name, port: site.port }), /hello from the site/)
        t.equal(asked(), 1)
        t.match(await reach({ how, host: name, port: site.port }), /^403 /)
      })
    }
    t.equal(dialled.far(), 2)
    t.equal(dialled.metadata(), 0)
    t.same(loopback.hits, [], 'nothing reached this machine')
    const once = [{ decision: 'allow', outcome: 'ok', detail: { address: far } }, { decision: 'deny', outcome: 'refused', detail: { address: inside, reason, calls: [String] } }]
    t.match(await ended(gateway), [...once, ...once])
  })
}
