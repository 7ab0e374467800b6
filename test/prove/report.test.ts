import t from 'tap'

const { flawsOf, table } = await import(new URL('report.mjs', import.meta.url).href) as {
  flawsOf (row: object): string[]
  table (rows: object[], flaws: string[], options: object): string[]
}

const good = { fault: 'a fault', effect: 'it came and went', sent: 9, answered: 6, refused: 2, unanswered: 1, reached: 7, intents: 7, unrecorded: 0, withoutOutcome: 0, duplicates: 0, verified: 30, findings: [] as string[] }

t.test('whatever is missing is named, with the fault that made it so', async (t) => {
  t.same(flawsOf(good), [])
  t.same(flawsOf({ ...good, unrecorded: 2 }), ['a fault: 2 calls reached the server and are not on the record'])
  t.same(flawsOf({ ...good, withoutOutcome: 1, duplicates: 3 }), ['a fault: 1 calls were answered, and the record has no outcome', 'a fault: 3 are there twice'])
  t.same(flawsOf({ ...good, findings: ['Record 4 was changed.'] }), ['a fault: Record 4 was changed.'])
  t.same(flawsOf({ ...good, reached: 0 }), ['a fault: no call reached the server, so nothing was proven'])
})

t.test('what could not be tried is in the report and is not taken for proven', async (t) => {
  const rows = [good, { fault: 'a full disk', skipped: 'no file system can be mounted' }]
  t.same(rows.flatMap((row) => flawsOf(row)), [])
  const lines = table(rows, [], { seed: 7, durability: 'fsync' })
  t.ok(lines.includes('SKIPPED a full disk: no file system can be mounted'))
  t.equal(lines.at(-1), 'nothing is missing')
  t.equal(table(rows, ['a fault: something'], { seed: 7, durability: 'fsync' }).at(-1), 'NOT PROVEN')
})
