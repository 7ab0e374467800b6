import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import t from 'tap'

import type { Ledger } from '../../src/ledger/ledger.ts'
import { until } from '../support/gateway.ts'
import { audit, durable, intent, temporaryDirectory, testLedger } from '../support/ledger.ts'
import { testDatabase } from '../support/postgres.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const MEBIBYTE = 1024 * 1024
const SEGMENT = 16 * MEBIBYTE
const args = JSON.stringify({ text: 'x'.repeat(4_096) })

t.test('while the database is away records wait on the disk, up to spool_max, and not in memory', async t => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  const spoolMax = 48 * MEBIBYTE
  let away = true
  const pool = new Proxy(database.pool, { get: (target, name) => name === 'query' && away ? async () => { throw new Error('away') } : Reflect.get(target, name) as unknown })
  const ledger = testLedger(t, { db: database.db, pool }, data, { audit: { ...audit, maxOutage: 600_000, spoolMax } })
  const spooled = (): number => readdirSync(join(data, 'ledger')).reduce((sum, name) => sum + statSync(join(data, 'ledger', name)).size, 0)

  const heights: number[] = []
  const sent = await fill(ledger, () => heights.push(held()))
  const [first = 0, ...later] = heights.slice(1)
  t.ok(spooled() > 40 * MEBIBYTE, `the disk holds ${spooled()} bytes`)
  t.ok(later.length > 5)
  t.ok(Math.max(...later) - first < 8 * MEBIBYTE, `the memory holds ${Math.max(...later) - first} bytes more than after 2,000 records`)
  t.ok(spooled() <= spoolMax + SEGMENT, 'one segment may have been begun')
  t.match(ledger.status, { healthy: false, reason: /spoolMax/, lagRecords: sent, leftMs: 0 }, 'and the operator sees it')

  away = false
  await until(() => ledger.status.lagRecords === 0, 120_000)
  const { rows: [row] } = await database.pool.query<{ records: number, all: number }>("select count(distinct record)::int as records, count(*)::int as all from ledger.event where kind = 'call'")
  t.strictSame(row, { records: sent, all: sent }, 'nothing is lost, nothing comes twice')
  await until(() => ledger.status.healthy, 30_000)
  ledger.append(intent('after'))
  await durable(ledger)
})

/** Appends, a hundred at a time, until it is refused; looks every thousand. Returns how many the ledger has. */
async function fill (ledger: Ledger, look: () => void): Promise<number> {
  for (let n = 1; n <= 100_000; n++) {
    try {
      ledger.append(intent(`n${n}`, { args }))
    } catch {
      return n - 1
    }
    if (n % 100 === 0) await durable(ledger)
    if (n % 1_000 === 0) look()
  }
  throw new Error('it never refused')
}

function held (): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
