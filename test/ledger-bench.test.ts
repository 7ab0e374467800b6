import t from 'tap'
import type pg from 'pg'

import { search } from '../src/ledger/query.ts'
import { testDatabase } from './support/postgres.ts'

interface Sample { readonly record: string, readonly word: string, readonly phrase: string }
interface Verifying { readonly records: number, readonly bytes: number, readonly rate: number, readonly bare: number, readonly cpu: { readonly own: number, readonly database: number } }

const bench = (name: string): string => new URL(`../bench/ledger/${name}`, import.meta.url).href
const { fillLedger, sampleOf }: { fillLedger: (pool: pg.Pool, records: number, say: () => void) => Promise<void>, sampleOf: (pool: pg.Pool, records: number) => Promise<Sample> } = await import(bench('rows.mjs'))
const { describe }: { describe: (report: object) => string[] } = await import(bench('report.mjs'))

t.test('generated records are calls with their outcome, refusals and log-ins, each in the partition of its month, and are found like any others', async (t) => {
  const database = await testDatabase(t)
  await fillLedger(database.pool, 4_000, () => {})
  const { rows: [made] } = await database.pool.query<Record<string, number>>(`
    select count(*)::int as records, count(*) filter (where kind = 'call')::int as calls, count(*) filter (where kind = 'outcome')::int as outcomes,
      count(*) filter (where kind = 'refusal')::int as refusals, count(*) filter (where kind = 'login')::int as logins, (select count(*)::int from only ledger.event_default) as strays from ledger.event`)
  t.match(made, { strays: 0 })
  t.ok(made !== undefined && made['calls'] === made['outcomes'] && Number(made['records']) > 3_500 && Number(made['refusals']) > 0 && Number(made['logins']) > 0, JSON.stringify(made))
  const { record, word, phrase } = await sampleOf(database.pool, 4_000)
  t.strictSame((await search(database, { text: word }, 10)).map((attempt) => attempt.record), [record])
  t.ok((await search(database, { text: phrase }, 100)).some((attempt) => attempt.record === record))
})

t.test('the report says when verification is too slow, by the lower of both bars, and when a search was given up', (t) => {
  const verify = (rate: number, bare: number): string => report({ verify: { records: 1, bytes: 1, rate, bare, cpu: { own: 1, database: 1 } } satisfies Verifying })
  t.match(verify(250_000, 900_000), 'aimed at 200000 (200,000, or half of what hashing alone reaches): reached')
  t.match(verify(150_000, 300_000), 'aimed at 150000 (200,000, or half of what hashing alone reaches): reached')
  t.match(verify(40_000, 200_000), 'NOT reached')
  const row = { name: 'a word', found: 'canceling statement due to statement timeout', p50: 30_000, p95: 30_000 }
  t.match(report({ search: { records: 1, plain: [row], words: [{ ...row, found: 1 }] } }), /a word +given up +30000/)
  t.end()
})

function report (parts: object): string {
  return describe({ node: 'v0', cores: 1, cpu: null, parts, faults: [] }).join('\n')
}
