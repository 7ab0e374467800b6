import t from 'tap'
import { fixture, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { mkdirSync, mkdtempSync, chmodSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'

async function gatewayWith (t: Test, yaml: Record<string, unknown>, upstream: Record<string, unknown> = {}): Promise<TestGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-instances-'))
  chmodSync(folder, 0o755)
  mkdirSync(join(folder, 'shared'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return await startGateway(t, { folder, yaml: { limits: [], upstreams: { fixture: fixture({ shared: join(folder, 'shared'), timeouts: { call: '20s' }, ...upstream }) }, ...yaml } })
}

type Hand = Awaited<ReturnType<TestGateway['client']>>

async function pid (client: Hand): Promise<number> {
  const { content } = await client.callTool({ name: 'whoami', arguments: {} }) as { content: { text: string }[] }
  const { counter } = JSON.parse(content[0]?.text ?? '') as { counter: number }
  return counter
}

/** The records of starts, as `owner pid`. */
async function starts (gateway: TestGateway): Promise<string[]> {
  const rows = await gateway.rows({ kind: 'upstream' })
  return rows.map(({ detail }) => detail as { event: string, owner: string, pid: number }).filter(({ event }) => event === 'start').map(({ owner, pid }) => `${owner} ${pid}`)
}

t.test('isolation decides who shares a process: a user\'s sessions, one session, everybody', async (t) => {
  for (const [isolation, own, theirs, foreign] of [['user', 2, 3, 1], ['session', 1, 2, 1], ['shared', 2, 3, 4]] as const) {
    const gateway = await gatewayWith(t, {}, { isolation })
    const [alice, bob] = [await gateway.addUser('alice', ['user']), await gateway.addUser('bob', ['user'])]
    const [first, second] = [await gateway.client('/mcp/fixture', alice), await gateway.client('/mcp/fixture', alice)]
    t.equal(await pid(first), 1, isolation)
    t.equal(await pid(second), own, `${isolation}: another session of the same user`)
    t.equal(await pid(second), theirs)
    t.equal(await pid(await gateway.client('/mcp/fixture', bob)), foreign, `${isolation}: another user`)
  }
})

t.test('with no place left, the instance that was idle longest makes room, and nobody\'s call is lost', async (t) => {
  const gateway = await gatewayWith(t, { instances: { total: 2 } })
  const clients: Hand[] = []
  for (const name of ['alice', 'bob', 'carol']) clients.push(await gateway.client('/mcp/fixture', await gateway.addUser(name, ['user'])))
  for (let round = 0; round < 2; round++) for (const client of clients) t.equal(await pid(client), 1, 'each finds an instance, a new one every time')
  t.ok((await starts(gateway)).length >= 6)
  t.match(await (await fetch(gateway.metricsUrl)).text(), /portcullis_instances\{upstream="fixture",state="ready"\} 2/)
})

t.test('with no place left, one whose news somebody waits for stays as long as another is idle', async (t) => {
  const gateway = await gatewayWith(t, { instances: { total: 2 } })
  const connect = async (name: string): Promise<Hand> => await gateway.client('/mcp/fixture', await gateway.addUser(name, ['user']))
  const settled = async (): Promise<void> => await setTimeout(1_100) // nobody is asked to leave in the first second
  const alice = await connect('alice')
  await alice.subscribeResource({ uri: 'memo://one' })
  const bob = await connect('bob')
  await settled()
  const carol = await connect('carol')
  t.equal(await pid(alice), 1, 'alice has the instance that she subscribed at')
  t.equal((await starts(gateway)).length, 3, 'bob made room')
  t.equal(await pid(carol), 1)
  await carol.subscribeResource({ uri: 'memo://one' })
  t.equal(await pid(bob), 1, 'when all are waited for, the one that was idle longest makes room')
})

/** A gateway whose only instance works for so many milliseconds, for alice; `token` is bob's. */
async function onlyPlaceTaken (t: Test, ms: number): Promise<{ gateway: TestGateway, token: string, slow: ReturnType<Hand['callTool']> }> {
  const gateway = await gatewayWith(t, { instances: { total: 1 } })
  const alice = await gateway.client('/mcp/fixture', await gateway.addUser('alice', ['user']))
  const token = await gateway.addUser('bob', ['user'])
  const slow = alice.callTool({ name: 'sleep', arguments: { ms } })
  await until(() => gateway.calls().some(({ params }) => params?.['name'] === 'sleep'))
  return { gateway, token, slow }
}

t.test('while all are at work, who comes waits for the first that ends', async (t) => {
  const { gateway, token, slow } = await onlyPlaceTaken(t, 1500)
  t.equal(await pid(await gateway.client('/mcp/fixture', token)), 1)
  t.match(await slow, { content: [{ text: 'slept 1500' }] })
})

t.test('T18: nothing is started for a user who was disabled while they waited in line', async (t) => {
  const { gateway, token, slow } = await onlyPlaceTaken(t, 2500)
  const bob = gateway.client('/mcp/fixture', token).catch(String)
  await until(async () => (await (await fetch(gateway.metricsUrl)).text()).includes('portcullis_instances{upstream="fixture",state="starting"} 1'))
  await gateway.disableUser('bob')
  t.match(await slow, { content: [{ text: 'slept 2500' }] })
  t.type(await bob, 'string')
  t.equal(gateway.calls().filter(({ method }) => method === 'initialize').length, 1)
})

t.test('T18: disabling a user ends their instances at once, in the middle of a call', async (t) => {
  const gateway = await gatewayWith(t, {})
  const alice = await gateway.client('/mcp/fixture', await gateway.addUser('alice', ['user']))
  const bob = await gateway.client('/mcp/fixture', await gateway.addUser('bob', ['user']))
  t.equal(await pid(bob), 1)
  const hanging = alice.callTool({ name: 'hang', arguments: {} }).then(String, String)
  await until(() => gateway.calls().some(({ params }) => params?.['name'] === 'hang'))
  await gateway.disableUser('alice')
  await hanging
  await until(async () => (await (await fetch(gateway.metricsUrl)).text()).includes('portcullis_instances{upstream="fixture",state="ready"} 1'))
  t.equal(await pid(bob), 2, 'the others go on in theirs')
})

t.test('after a crash the next call is served by a new process, and clients hear that lists may have changed', async (t) => {
  const gateway = await gatewayWith(t, {})
  const token = await gateway.addUser('alice', ['user'])
  const client = await gateway.client('/mcp/fixture', token)
  let changed = 0
  client.fallbackNotificationHandler = ({ method }) => { if (method === 'notifications/tools/list_changed') changed++; return Promise.resolve() }
  t.equal(await pid(client), 1)
  await client.callTool({ name: 'grow', arguments: {} })
  await until(async () => (await client.listTools()).tools.some(({ name }) => name === 'grown'))
  const before = changed
  await client.callTool({ name: 'crash', arguments: {} }).catch(() => {})
  t.equal(await pid(client), 1, 'a new process')
  await until(() => changed > before)
  t.notOk((await client.listTools()).tools.some(({ name }) => name === 'grown'), 'the list is the new one\'s')
  t.match(gateway.log(), /upstream exited by itself/)
})
