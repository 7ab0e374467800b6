import t from 'tap'
import { addressProblem, ranges } from '../../src/config/addresses.ts'
import { rangeProblem, readDestination } from '../../src/config/destinations.ts'
import { judgeOf } from '../../src/egress/decide.ts'
import { Pace } from '../../src/egress/pace.ts'

t.test('addresses that are not the public internet are refused, however they are written', async (t) => {
  const none = ranges([])
  const refused = [
    '127.0.0.1', '127.9.9.9', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', '0.0.0.0', '169.254.169.254', '224.0.0.1', '255.255.255.255', '168.63.129.16',
    '::', '::1', 'fe80::1', 'fe80::1%eth0', 'fc00::1', 'fd00:ec2::254', 'ff02::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '::127.0.0.1', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', '64:ff9b::10.0.0.1',
    '2002:7f00:1::', '2002:a9fe:a9fe::1', '2001:0:1:2:3:4:5:6', '2001:db8::1', 'localhost', '',
  ]
  for (const address of refused) t.ok(addressProblem(address, none), address)
  for (const address of ['1.1.1.1', '172.32.0.1', '192.167.1.1', '2606:4700::1111', '::ffff:1.1.1.1', '64:ff9b::101:101', '2002:101:101::']) t.equal(addressProblem(address, none), undefined, address)
})

t.test('a grant of a private range opens that range and nothing that nobody may have', async (t) => {
  const granted = ranges(['10.1.0.0/16', '169.254.0.0/16', '::1'])
  for (const address of ['10.1.2.3', '::1']) t.equal(addressProblem(address, granted), undefined, address)
  for (const address of ['10.2.0.1', '169.254.169.254', '127.0.0.1']) t.ok(addressProblem(address, granted), address)
})

t.test('a name is resolved once, and every address of it must be fit', async (t) => {
  const answers = [['93.184.216.34'], ['127.0.0.1']]
  let asked = 0
  const rebinding = judgeOf({ allow: [{ host: 'rebind.example', port: 443 }], private: [] }, async () => answers[asked++] ?? [])
  t.match(await rebinding('rebind.example', 443), { allowed: true, address: '93.184.216.34' })
  t.equal(asked, 1, 'the address that was judged is the one to dial')
  t.match(await rebinding('Rebind.Example.', 443), { allowed: false, address: '127.0.0.1', reason: /private/ })

  const judge = (addresses: string[] | Error) => judgeOf({ allow: [{ host: 'a.example', port: 443 }], private: [] }, async () => { if (addresses instanceof Error) throw addresses; return addresses })('a.example', 443)
  t.match(await judge(['93.184.216.34', '169.254.169.254']), { allowed: false, address: '169.254.169.254' })
  t.match(await judge([]), { allowed: false, reason: 'the name has no address' })
  t.match(await judge(new Error('ENOTFOUND')), { allowed: false, reason: 'the name has no address' })
})

t.test('an address that is written out is allowed as it is written, and only with its port', async (t) => {
  const judge = judgeOf({ allow: [{ host: '10.0.0.5', port: 5432 }], private: [] }, () => { throw new Error('nothing to resolve') })
  t.match(await judge('10.0.0.5', 5432), { allowed: true, address: '10.0.0.5' })
  t.match(await judge('10.0.0.5', 5433), { allowed: false })
  t.match(await judge('10.0.0.6', 5432), { allowed: false })
})

t.test('what an entry of network may look like', async (t) => {
  const good: Record<string, object> = {
    'api.github.com': { host: 'api.github.com', port: 443 },
    'API.github.com.:8443': { host: 'api.github.com', port: 8443 },
    '*.example.com:80': { host: '*.example.com', port: 80 },
    '10.0.0.5:5432': { host: '10.0.0.5', port: 5432 },
    '[2606:4700::1111]': { host: '2606:4700::1111', port: 443 },
  }
  for (const [text, destination] of Object.entries(good)) t.same(readDestination(text), destination, text)
  for (const text of ['', '*', '*.com', 'https://a.example', 'a.example:0', 'a.example:70000', '10.0.0.0/8', 'a b', '-a.example', '2130706433', '0x7f.1', '127.1', 'a.*.example', '2606:4700::1111', 'user@a.example']) {
    t.type(readDestination(text), 'string', text)
  }
  for (const text of ['10.0.0.0/8', '127.0.0.1', 'fd00::/8']) t.equal(rangeProblem(text), undefined, text)
  for (const text of ['', '10.0.0.0/33', '10.0.0/8', 'example.com', '10.0.0.0/8/8', '::1/129']) t.ok(rangeProblem(text), text)
})

t.test('T47: connections beyond a burst wait their turn, so that the audit log is not flooded', async (t) => {
  const pace = new Pace(3, 10)
  t.same(Array.from({ length: 6 }, () => pace.wait(1_000_000)), [0, 0, 0, 100, 200, 300])
  t.equal(pace.wait(1_000_200), 200, 'they keep their order')
  t.equal(pace.wait(2_000_000), 0, 'and a pause is made good')
})
