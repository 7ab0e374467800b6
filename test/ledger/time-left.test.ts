import t from 'tap'

import { timeLeft } from '../../src/ledger/time-left.ts'

const audit = { maxOutage: 60_000, spoolMax: 1_000_000 }

t.test('how long calls go on without the database: by time, or by room at the pace of the last records', async t => {
  t.equal(timeLeft(0, 500, audit), undefined, 'the database takes what there is')
  t.equal(timeLeft(10_000, 0, audit), 50_000, 'nothing fills the spool: the time counts')
  t.equal(timeLeft(10_000, 500_000, audit), 10_000, 'as much again takes as long again')
  t.equal(timeLeft(70_000, 10, audit), 0)
  t.equal(timeLeft(10_000, 2_000_000, audit), 0)
})
