import t from 'tap'
import { Replays } from '../../plugins/mcp/replays.ts'
import type { Reader } from '../../plugins/mcp/replays.ts'
import { Session } from '../../src/sessions.ts'

const session = (id: string): Session => new Session(id, 'user', '2025-11-25', { name: 'client', version: '1' }, new Set())

class Reading implements Reader {
  text = ''
  ended = false
  write (text: string): void { this.text += text }
  end (): void { this.ended = true }
}

t.test('34: what one session keeps is bounded, and the oldest makes room', async (t) => {
  const replays = new Replays()
  const alice = session('a')
  const begun = Array.from({ length: 33 }, () => replays.begin(alice, 0))
  t.equal(replays.find(alice, `${begun[0]?.id}_0`), undefined)
  t.equal(replays.find(alice, `${begun[32]?.id}_0`)?.replay, begun[32])

  const big = replays.begin(alice, 0)
  big.add('x'.repeat(17 * 1024 * 1024))
  replays.begin(session('b'), 0)
  t.equal(replays.find(alice, `${big.id}_0`)?.replay, big, 'the streams of others push nothing out')
  replays.begin(alice, 0)
  t.equal(replays.find(alice, `${big.id}_0`), undefined, 'its own do')
  t.equal(big.bytes, 0)
})

t.test('T35: a stream without end keeps no more than its bound, and cannot be taken up from before that', async (t) => {
  const replays = new Replays()
  const alice = session('a')
  const endless = replays.begin(alice, 0)
  for (let i = 0; i < 40; i++) endless.add('x'.repeat(1024 * 1024))
  t.ok(endless.bytes <= 16 * 1024 * 1024, `${endless.bytes} bytes`)
  t.equal(replays.find(alice, `${endless.id}_3`), undefined, 'part of the rest is gone, so none of it is sent')
  t.equal(replays.find(alice, `${endless.id}_41`), undefined, 'nor is there anything after what was never said')
  const reading = new Reading()
  replays.find(alice, `${endless.id}_38`)?.replay.resume(38, reading)
  t.equal(reading.text.match(/^id: /gm)?.length, 2)
})

t.test('a stream that ended a while ago, or whose session ended, cannot be taken up', async (t) => {
  const replays = new Replays()
  const [alice, bob] = [session('a'), session('b')]
  const old = replays.begin(alice, 0)
  old.end(0)
  const fresh = replays.begin(bob, 6 * 60_000)
  t.equal(replays.find(alice, `${old.id}_0`), undefined)
  t.ok(replays.find(bob, `${fresh.id}_0`))
  t.equal(replays.find(alice, `${fresh.id}_0`), undefined, 'nor one of another session')
  for (const made of ['', '_', `${fresh.id}`, `${fresh.id}_x`, `${fresh.id}_-1`, '__proto__']) t.equal(replays.find(bob, made), undefined, made)
  replays.endSession(bob)
  t.equal(replays.find(bob, `${fresh.id}_0`), undefined)
})

t.test('31: each message goes to one reader, the last that came', async (t) => {
  const replay = new Replays().begin(session('a'), 0)
  const [first, second] = [new Reading(), new Reading()]
  replay.add('{"at":1}')
  replay.resume(0, first)
  replay.add('{"at":2}')
  replay.resume(1, second)
  replay.add('{"at":3}')
  replay.end(1)
  t.same(first.text.match(/"at":\d/g), ['"at":1', '"at":2'])
  t.same(second.text.match(/"at":\d/g), ['"at":2', '"at":3'])
  t.ok(first.ended && second.ended)
})
