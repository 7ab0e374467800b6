import t from 'tap'
import { loadConfig } from '../../src/config/config.ts'
import { Breaker } from '../../src/upstreams/breaker.ts'
import { backOff, emptySeat } from '../../src/upstreams/seat.ts'
import type { Seat } from '../../src/upstreams/seat.ts'

const now = 1_000_000

t.test('the pauses before a restart double up to a bound, and jitter spreads them by a quarter either way', (t) => {
  const pauses = (jitter: number): number[] => {
    const one = seat(t.testdir({ 'upstreams.yaml': 'upstreams: { one: { command: cat } }\n' }))
    return Array.from({ length: 9 }, () => {
      backOff(one, now, () => jitter)
      return one.notBefore - now
    })
  }
  const even = [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
  t.same(pauses(0.5), even, 'the first failure costs nothing')
  t.same(pauses(0), even.map((pause) => pause * 0.75))
  t.same(pauses(1), even.map((pause) => pause * 1.25))
  t.end()
})

t.test('seats that failed at the same moment do not return at the same moment', (t) => {
  const folder = t.testdir({ 'upstreams.yaml': 'upstreams: { one: { command: cat } }\n' })
  const returns = Array.from({ length: 50 }, () => {
    const one = seat(folder)
    for (let failure = 0; failure < 4; failure++) backOff(one, now)
    return one.notBefore - now
  })
  t.ok(returns.every((pause) => pause >= 3_000 && pause <= 5_000))
  t.ok(new Set(returns).size > 1)
  t.end()
})

t.test('nor do gateways whose breaker opened at the same moment', (t) => {
  const pause = (jitter: number): number => {
    const breaker = new Breaker(() => jitter)
    for (const owner of ['a', 'b', 'c']) breaker.failed(owner, now)
    return breaker.enter(now)
  }
  t.same([0, 0.5, 1].map(pause), [3_750, 5_000, 6_250])
  t.end()
})

function seat (folder: string): Seat {
  const spec = loadConfig({ PORTCULLIS_DATA: `${folder}/data` }, { file: `${folder}/upstreams.yaml` }).upstreams.get('one')
  if (spec === undefined) throw new Error('it is there')
  return emptySeat(spec, 'alice', 'legacy')
}
