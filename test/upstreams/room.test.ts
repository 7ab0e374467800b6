import t from 'tap'
import { Breaker } from '../../src/upstreams/breaker.ts'
import { Room } from '../../src/upstreams/room.ts'
import type { Guest } from '../../src/upstreams/room.ts'

const patience = 60_000

t.test('who does not fit waits in line, and is let in in order when others leave', async (t) => {
  const room = new Room({ total: 2, perUpstream: 2, perUser: 2 }, () => false)
  const guests = ['a', 'b', 'c', 'd'].map((user) => ({ upstream: 'x', user }))
  const entered: string[] = []
  const places = guests.map(async (guest) => {
    const leave = await room.enter(guest, patience)
    entered.push(guest.user)
    return leave
  })
  const [first, second] = [await places[0], await places[1]]
  t.same(entered, ['a', 'b'])
  t.equal(room.waiting, 2)
  second?.()
  const third = await places[2]
  t.same(entered, ['a', 'b', 'c'])
  second?.()
  t.equal(room.size, 2, 'a place is given back once')
  first?.()
  await places[3]
  t.same(entered, ['a', 'b', 'c', 'd'])
  third?.()
})

t.test('room is made among those the bound is about: the user\'s own, the upstream\'s, anybody', async (t) => {
  const idle = new Map<Guest, () => void>()
  const evicted: Guest[] = []
  const evict = (which: (guest: Guest) => boolean): boolean => {
    const [guest] = [...idle.keys()].filter(which)
    if (guest === undefined) return false
    evicted.push(guest)
    idle.get(guest)?.()
    return idle.delete(guest)
  }
  const room = new Room({ total: 4, perUpstream: 3, perUser: 2 }, evict)
  const enter = async (upstream: string, user: string | undefined): Promise<Guest> => {
    const guest = { upstream, user }
    idle.set(guest, await room.enter(guest, patience))
    return guest
  }
  const a1 = await enter('x', 'alice')
  await enter('y', 'alice')
  await enter('x', 'bob')
  await enter('z', 'alice')
  t.same(evicted, [a1], 'alice has two, and hers is ended rather than bob\'s')
  await enter('x', 'carol')
  t.equal(room.size, 4)
  await enter('w', undefined)
  t.equal(evicted.length, 2)
  t.equal(room.size, 4)
  t.match(evicted[1], { upstream: 'y' }, 'anybody\'s, for what everybody shares')
})

t.test('who is bounded by what is their own does not hold up others', async (t) => {
  const room = new Room({ total: 3, perUpstream: 3, perUser: 1 }, () => false)
  await room.enter({ upstream: 'x', user: 'alice' }, patience)
  const late = room.enter({ upstream: 'x', user: 'alice' }, 50)
  await room.enter({ upstream: 'x', user: 'bob' }, patience)
  await t.rejects(late, { code: 'PORTCULLIS_OVERLOADED', message: /you have 1 of them/ })
  t.equal(room.waiting, 0)
})

t.test('an upstream that fails for several owners is left alone for a while, then one start tries', async (t) => {
  const breaker = new Breaker(() => 0.5)
  let now = 1_000_000
  for (let i = 0; i < 10; i++) breaker.failed('alice', now)
  t.equal(breaker.enter(now), 0, 'one owner\'s failures are that owner\'s')
  breaker.failed('bob', now)
  breaker.failed('carol', now)
  t.equal(breaker.state(now), 'open')
  t.equal(breaker.enter(now), 5_000)
  now += 5_000
  t.equal(breaker.state(now), 'half-open')
  t.equal(breaker.enter(now), 0, 'the probe')
  t.ok(breaker.enter(now) > 0, 'nobody else meanwhile')
  breaker.failed('dave', now)
  t.equal(breaker.enter(now), 10_000, 'the pause doubles')
  now += 10_000
  t.equal(breaker.enter(now), 0)
  breaker.undecided()
  t.equal(breaker.enter(now), 0, 'a probe that says nothing gives its place to the next')
  breaker.succeeded()
  t.equal(breaker.state(now), 'closed')
  t.equal(breaker.enter(now), 0)
})
