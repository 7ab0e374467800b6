import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import t from 'tap'

import { Turns } from '../../src/upstreams/turns.ts'

const collectYoung = (() => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as (options: { type: 'minor' }) => void
  return () => gc({ type: 'minor' })
})()

const old = (): number => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? Number.NaN

t.test('a call that is over does not stay in memory until the next full collection', async (t) => {
  const turns = new Turns(false, () => {})
  const under: { place: number, asked: () => void, held: number[] }[] = []
  const pass = (count: number): void => {
    for (let n = 0; n < count; n++) {
      const call = { place: -1, asked: () => {}, held: Array.from({ length: 100 }, () => n) }
      turns.enter(call, 1000)
      under.push(call)
      if (under.length > 16) turns.leave(under.shift() ?? call)
      if (n % 500 === 0) collectYoung()
    }
  }
  pass(2_000)
  for (let n = 0; n < 3; n++) collectYoung() // a quiet moment: what is there now becomes old
  const before = old()
  pass(20_000) // 16 MB and more
  const grown = (old() - before) / 1024
  t.ok(grown < 2_048, `the old generation has grown by ${Math.round(grown)} KiB`)
})
