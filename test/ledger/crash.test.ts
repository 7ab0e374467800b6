import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import t from 'tap'

import { search } from '../../src/ledger/query.ts'
import { testDatabase } from '../support/postgres.ts'
import { temporaryDirectory, testLedger } from '../support/ledger.ts'

const writer = fileURLToPath(new URL('../support/ledger-writer.ts', import.meta.url))

/** Runs the writer until it has acknowledged about that many records, and kills it. Returns what it had acknowledged. */
async function killUnderLoad (data: string, url: string, acknowledgements: string, enough: number, durability = 'fsync'): Promise<string[]> {
  const child = spawn(process.execPath, [...process.execArgv, writer, data, url, acknowledgements, durability], { stdio: 'inherit' })
  const exited = once(child, 'exit')
  const read = (): string[] => existsSync(acknowledgements) ? readFileSync(acknowledgements, 'utf8').split('\n').slice(0, -1) : []
  while (read().length < enough && child.exitCode === null) await sleep(20)
  child.kill('SIGKILL')
  t.strictSame(await exited, [null, 'SIGKILL'])
  return read()
}

t.test('after kill -9 under load every acknowledged record is in the table exactly once', async t => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  const file = join(temporaryDirectory(t), 'acknowledged')
  await killUnderLoad(data, database.url, file, 3_000)
  const acknowledged = await killUnderLoad(data, database.url, file, 5_000)
  t.ok(readdirSync(join(data, 'ledger')).length > 0, 'something was left to ship')

  const ledger = testLedger(t, database, data)
  await ledger.caughtUp
  const { rows } = await database.pool.query<{ line: string, count: string }>("select case kind when 'call' then 'intent' else kind end || ' ' || record as line, count(*) from ledger.event where kind in ('call', 'outcome') group by 1")
  const found = new Map(rows.map(({ line, count }) => [line, Number(count)]))
  t.strictSame(acknowledged.filter(line => found.get(line) !== 1), [])
  t.strictSame([...found].filter(([, count]) => count !== 1), [])

  const { rows: gaps } = await database.pool.query('select chain_id from ledger.event group by chain_id having min(seq) <> 1 or max(seq) <> count(*)')
  t.strictSame(gaps, [], 'each chain is without gaps')
  const { rows: open } = await database.pool.query('select from ledger.chain where closed_at is null')
  t.strictSame(open, [], 'the chains of the dead are closed')

  t.equal(ledger.status.lagRecords, 0)
  const unknown = await search(database, { outcome: 'unknown' }, 100)
  t.ok(unknown.length <= 16, 'eight calls of each process at most were under way')
  for (const { record } of unknown) t.notOk(found.has(`outcome ${record}`), 'only a call without an outcome is marked')
  t.strictSame(await search(database, { outcome: 'in_flight' }, 100), [])
  await ledger.close()
  t.strictSame(readdirSync(join(data, 'ledger')), [])
})

t.test('durability os: after kill -9 under load every intent and outcome that was acknowledged is in the table', async t => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  const acknowledged = await killUnderLoad(data, database.url, join(temporaryDirectory(t), 'acknowledged'), 3_000, 'os')
  t.ok(acknowledged.some(line => line.startsWith('intent')))
  const ledger = testLedger(t, database, data)
  await ledger.caughtUp
  const { rows } = await database.pool.query<{ line: string }>("select case kind when 'call' then 'intent' else kind end || ' ' || record as line from ledger.event where kind in ('call', 'outcome')")
  const found = new Set(rows.map(({ line }) => line))
  t.strictSame(acknowledged.filter(line => !found.has(line)), [])
  t.equal(found.size, rows.length, 'and none twice')
})
