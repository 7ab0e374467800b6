import t from 'tap'
import type { Call, Principal } from '../src/call.ts'
import { Sessions } from '../src/sessions.ts'
import type { Session } from '../src/sessions.ts'
import { until } from './support/gateway.ts'

const client = { name: 'c', version: '1' }
const principal = (id: string): Principal => ({ id, name: id, roles: [], tokenId: 't', tokenKind: 'access', clientId: 'c', scopes: null, expiresAt: Infinity })
const key = Buffer.alloc(32, 7)

/** A session of this principal that has begun. */
function begin (sessions: Sessions, who: string, version = '2025-11-25'): Session {
  const session = sessions.create(principal(who), version, client)
  sessions.keep(session)
  return session
}

t.test('one principal cannot push the sessions of others out, and loses none for good', async (t) => {
  const sessions = new Sessions(key)
  const other = begin(sessions, 'bob')
  const first = begin(sessions, 'alice')
  for (let i = 0; i < 1000; i++) begin(sessions, 'alice')
  t.ok(sessions.size <= 501)
  t.equal(sessions.find(other.id, principal('bob')), other)
  t.match(sessions.find(first.id, principal('alice')), { id: first.id, version: '2025-11-25', client })
})

t.test('who opens too many sessions loses the one that was silent longest, and none with something under way', async (t) => {
  const sessions = new Sessions(key)
  const own = Array.from({ length: 500 }, () => begin(sessions, 'alice'))
  for (const [at, session] of own.entries()) session.lastSeen = at
  const [calling, asked, streaming, used, silent] = own
  if (!calling || !asked || !streaming || !used || !silent) throw new Error('they are there')
  const call = {} as Call
  calling.calls.push(call)
  asked.asked.set('1', { call, respond () {} })
  streaming.streams++
  used.lastSeen = 1000
  const isHeld = ({ id }: Session): boolean => [...sessions.of('alice')].some((session) => session.id === id)
  const next = begin(sessions, 'alice')
  t.same([calling, asked, streaming, used, silent, next].map(isHeld), [true, true, true, true, false, true])
  for (let i = 0; i < 1000; i++) begin(sessions, 'alice')
  t.same([calling, asked, streaming, used, silent, next].map(isHeld), [true, true, true, false, false, false])
  for (const session of sessions.of('alice')) session.streams++
  const last = begin(sessions, 'alice')
  t.ok(isHeld(last), 'nor is the new one turned away when all are busy')
  t.equal(sessions.size, 500)
})

t.test('an id is good on any replica that has the key, for its principal only, until it is ended', async (t) => {
  const here = new Sessions(key)
  const there = new Sessions(key)
  const { id } = begin(here, 'alice', '2025-06-18')
  t.match(there.find(id, principal('alice')), { id, version: '2025-06-18' })
  t.equal(there.find(id, principal('bob')), undefined)
  t.equal(new Sessions(Buffer.alloc(32, 8)).find(id, principal('alice')), undefined, 'another key, another gateway')
  const found = here.find(id, principal('alice'))
  if (found !== undefined) here.end(found)
  t.equal(here.find(id, principal('alice')), undefined)
  if (found !== undefined) here.keep(found)
  t.equal(here.find(id, principal('alice')), undefined, 'an open stream does not bring it back')
})

t.test('a session that nobody uses is forgotten without anybody asking for it, and comes back when it is used', async (t) => {
  const gone: string[] = []
  const sessions = new Sessions(key, { idleMs: 50, reapMs: 20, onIdle: ({ id }) => gone.push(id) })
  t.teardown(() => sessions.close())
  const { id } = begin(sessions, 'alice')
  await until(() => sessions.size === 0)
  t.same(gone, [id], 'and what it left behind can be put away')
  t.match(sessions.find(id, principal('alice')), { id, client })
})
