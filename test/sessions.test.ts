import t from 'tap'
import type { Principal } from '../src/call.ts'
import { Sessions } from '../src/sessions.ts'
import { until } from './support/gateway.ts'

const client = { name: 'c', version: '1' }
const principal = (id: string): Principal => ({ id, name: id, roles: [], tokenId: 't', tokenKind: 'access', clientId: 'c', scopes: null, expiresAt: Infinity })
const key = Buffer.alloc(32, 7)

t.test('one principal cannot push the sessions of others out, and loses none for good', async (t) => {
  const sessions = new Sessions(key)
  const other = sessions.create(principal('bob'), '2025-11-25', client)
  const first = sessions.create(principal('alice'), '2025-11-25', client)
  for (let i = 0; i < 1000; i++) sessions.create(principal('alice'), '2025-11-25', client)
  t.ok(sessions.size <= 501)
  t.equal(sessions.find(other.id, principal('bob')), other)
  t.match(sessions.find(first.id, principal('alice')), { id: first.id, version: '2025-11-25', client })
})

t.test('an id is good on any replica that has the key, for its principal only, until it is ended', async (t) => {
  const here = new Sessions(key)
  const there = new Sessions(key)
  const { id } = here.create(principal('alice'), '2025-06-18', client)
  t.match(there.find(id, principal('alice')), { id, version: '2025-06-18' })
  t.equal(there.find(id, principal('bob')), undefined)
  t.equal(new Sessions(Buffer.alloc(32, 8)).find(id, principal('alice')), undefined, 'another key, another gateway')
  const found = here.find(id, principal('alice'))
  if (found !== undefined) here.end(found)
  t.equal(here.find(id, principal('alice')), undefined)
  if (found !== undefined) here.touch(found)
  t.equal(here.find(id, principal('alice')), undefined, 'an open stream does not bring it back')
})

t.test('a session that nobody uses is forgotten without anybody asking for it, and comes back when it is used', async (t) => {
  const gone: string[] = []
  const sessions = new Sessions(key, { idleMs: 50, reapMs: 20, onIdle: ({ id }) => gone.push(id) })
  t.teardown(() => sessions.close())
  const { id } = sessions.create(principal('alice'), '2025-11-25', client)
  await until(() => sessions.size === 0)
  t.same(gone, [id], 'and what it left behind can be put away')
  t.match(sessions.find(id, principal('alice')), { id, client })
})
