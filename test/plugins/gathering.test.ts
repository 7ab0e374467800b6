import t from 'tap'

import { Gathering } from '../../plugins/mcp/gathering.ts'

/** A group with a clock and a number of calls under way that a test sets. */
function gathering (): { group: Gathering, at: { ms: number }, calls: { underWay: number } } {
  const at = { ms: 0 }
  const calls = { underWay: 0 }
  return { group: new Gathering(() => calls.underWay, () => at.ms), at, calls }
}

t.test('a message by itself goes at once, and so does a group that is larger than the last', async t => {
  const { group } = gathering()
  for (const waiting of [1, 1, 5, 8]) t.equal(group.release(waiting), true)
})

t.test('a group waits for as many as came last time', async t => {
  const { group } = gathering()
  group.release(4)
  t.strictSame([1, 2, 2, 3, 4].map(waiting => group.release(waiting)), [false, false, false, false, true])
})

t.test('calls that are on their way are not waited for: their clients cannot call again yet', async t => {
  const { group, calls } = gathering()
  group.release(4)
  calls.underWay = 3
  t.equal(group.release(1), true)
  calls.underWay = 2
  t.equal(group.release(1), false)
  t.equal(group.release(2), true)
})

t.test('after 16 turns a group goes as it is, and the next one expects no more than that', async t => {
  const { group } = gathering()
  group.release(9)
  const turns = Array.from({ length: 17 }, () => group.release(2))
  t.strictSame(turns, [...Array.from({ length: 16 }, () => false), true])
  t.equal(group.release(2), true, 'nobody waits for the other seven any more')
})

t.test('however long a turn takes, a group waits a millisecond and the rest of that turn', async t => {
  const { group, at } = gathering()
  group.release(9)
  t.equal(group.release(2), false)
  at.ms = 0.9
  t.equal(group.release(3), false)
  at.ms = 40
  t.equal(group.release(3), true)
  group.release(5)
  t.equal(group.release(1), false, 'the time of the next one is its own')
})
