import { chmodSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import t from 'tap'

import { openDatabase } from '../../db/connect.ts'
import { openEmbedded } from '../../db/embedded.ts'
import type { Refusal } from '../../src/errors.ts'
import { audit, intent, outcome, temporaryDirectory, testLedger } from '../support/ledger.ts'

t.test('Postgres stopped and started under load: calls are refused after max_outage, nothing is lost, all recovers by itself', async t => {
  const data = temporaryDirectory(t)
  chmodSync(data, 0o711)
  let server = await openEmbedded({ data, durable: false })
  t.teardown(async () => await server.close())
  const database = await openDatabase({ url: server.url, data: '' })
  t.teardown(async () => await database.close())
  const ledger = testLedger(t, database, data, { audit: { ...audit, maxOutage: 300 } })

  const acknowledged: string[] = []
  const load = { refused: 0, stopped: false, ended: 0 }
  const call = (): void => {
    if (load.stopped) {
      load.ended++
      return
    }
    const record = ledger.newRecord()
    try {
      ledger.append(intent(record))
    } catch (error) {
      t.equal((error as Refusal).code, 'PORTCULLIS_LEDGER_UNAVAILABLE')
      load.refused++
      setTimeout(call, 5)
      return
    }
    ledger.durable((error) => {
      if (error !== undefined) throw error
      acknowledged.push(`call ${record}`)
      ledger.append(outcome(record), { force: true })
      ledger.written((error) => {
        if (error !== undefined) throw error
        acknowledged.push(`outcome ${record}`)
        setTimeout(call, 2)
      })
    })
  }
  for (let caller = 0; caller < 8; caller++) call()
  const reached = async (done: () => boolean): Promise<void> => { while (!done()) await sleep(10) }
  await reached(() => acknowledged.length > 200 && ledger.status.lastShippedAt !== undefined)
  t.ok(ledger.status.healthy)

  await server.close()
  await reached(() => !ledger.status.healthy && load.refused >= 8)
  t.match(ledger.status, { healthy: false, reason: /has not taken any record/ })
  const during = { acknowledged: acknowledged.length, refused: load.refused }
  await reached(() => load.refused >= during.refused + 100)
  t.ok(acknowledged.length - during.acknowledged < 50, 'nothing more is taken while it is away')

  server = await openEmbedded({ data, durable: false })
  await reached(() => ledger.status.healthy)
  const back = acknowledged.length
  await reached(() => acknowledged.length >= back + 200)
  load.stopped = true
  await reached(() => load.ended === 8)
  await ledger.close()

  const { rows } = await database.pool.query<{ record: string }>("select kind || ' ' || record as record from ledger.event order by seq")
  const stored = rows.map(({ record }) => record)
  t.equal(new Set(stored).size, stored.length, 'nothing twice')
  t.strictSame(acknowledged.filter(line => !stored.includes(line)), [], 'nothing lost')
})
