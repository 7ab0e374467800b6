import t from 'tap'

type Results = Map<string, object>

const { countOf, judge, staleOf } = await import(new URL('judge.mjs', import.meta.url).href) as {
  countOf (results: Results): object
  judge (cell: string, direct: Results, through: Results, expectations: Record<string, string>): { expected: string[], regressions: string[] }
  staleOf (cells: string[], failed: string[], expectations: Record<string, string>): string[]
}

const passed = { status: 'SUCCESS', checks: 1, passed: 1 }
const failed = { status: 'FAILURE', checks: 2, passed: 1 }
const warned = { status: 'WARNING', checks: 1, passed: 0 }
const results = (given: Record<string, object>): Results => new Map(Object.entries(given))

t.test('what passes directly and not through the gateway is a regression, a warning too', async (t) => {
  const { expected, regressions } = judge('legacy 2025-11-25', results({ 'a:x': passed, 'a:y': passed, 'b:z': passed }), results({ 'a:x': passed, 'a:y': warned, 'b:z': failed }), {})
  t.same(expected, [])
  t.same(regressions, ['legacy 2025-11-25 a:y', 'legacy 2025-11-25 b:z'])
})

t.test('what fails directly says nothing about the gateway', async (t) => {
  t.same(judge('dual x', results({ 'a:x': failed }), results({ 'a:x': failed }), {}).regressions, [])
})

t.test('a scenario that was not run, or left a check out, is a regression', async (t) => {
  t.same(judge('dual x', results({ 'a:x': passed, 'b:y': passed }), results({ 'b:z': passed }), {}).regressions, ['dual x a:x', 'dual x b:y'])
})

t.test('what the suite itself finds not to apply is no failure', async (t) => {
  t.same(judge('dual x', results({ 'a:x': passed }), results({ 'a:x': { status: 'INFO', checks: 0, passed: 0 } }), {}).regressions, [])
})

t.test('an expected failure that passes is stale, in the cells that were run', async (t) => {
  const expectations = { 'legacy 1 a:x': 'why', 'legacy 1 a:y': 'why', 'modern 1 a:x': 'why' }
  const { expected } = judge('legacy 1', results({ 'a:x': passed, 'a:y': passed }), results({ 'a:x': failed, 'a:y': passed }), expectations)
  t.same(expected, ['legacy 1 a:x'])
  t.same(staleOf(['legacy 1'], expected, expectations), ['legacy 1 a:y'])
})

t.test('checks are counted one by one', async (t) => {
  t.same(countOf(results({ 'a:x': passed, 'a:y': failed, 'a:z': warned })), { passed: 2, failed: 2 })
})
