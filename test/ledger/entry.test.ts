import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import t from 'tap'

import { encode } from '../../src/ledger/entry.ts'
import { createRecordIds } from '../../src/ledger/record-id.ts'

t.test('durations are written as JSON writes hundredths, whatever their size', async t => {
  const values = [0, 0.004, 0.005, 0.05, 0.1, 0.4, 0.996, 1, 1.005, 12.3, 12.345, 99.99, 100, 1234.567, 59_999.999, 10_737_418.2, 10_737_418.3, 1e9, 1e15, -0.5, -3]
  for (const value of values) {
    const text = encode({ kind: 'outcome', record: 'a', durationMs: value }, '2026-11-24T08:00:00.000Z')
    t.equal(text, `{"ts":"2026-11-24T08:00:00.000Z","kind":"outcome","record":"a","duration_ms":${JSON.stringify(Math.round(value * 100) / 100)}}`)
  }
  for (const value of [NaN, Infinity]) t.match(encode({ kind: 'outcome', record: 'a', durationMs: value }, ''), '"duration_ms":null}')
})

t.test('a digest is asked for when the record is written', async t => {
  t.match(encode({ kind: 'call', record: 'a', digest: () => 'sha256:00' }, ''), '"digest":"sha256:00"}')
  t.match(encode({ kind: 'outcome', record: 'a', digest: 'sha256:01' }, ''), '"digest":"sha256:01"}')
})

t.test('record ids are of one length, in order, and never the same', async t => {
  const next = createRecordIds(1_795_000_000_000)
  const ids = Array.from({ length: 5_000 }, next)
  t.strictSame(ids, ids.toSorted())
  t.equal(new Set(ids).size, ids.length)
  t.strictSame([...new Set(ids.map(id => id.length))].length, 1)
})

t.test('what a client says about itself is not kept, however long it is', async t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const before = process.memoryUsage().heapUsed
  for (let turn = 0; turn < 200; turn++) t.ok(encode({ kind: 'list', record: 'a', client: String(turn).padStart(1_000_000, 'x') }, '').length < 1_000)
  collect()
  t.ok(process.memoryUsage().heapUsed - before < 50_000_000, 'of 200 MB')
})
