/**
 * A process of its own that records calls as fast as it can until it is killed. argv: data directory, database URL,
 * file of acknowledgements: `intent ID` when an intent is durable, `outcome ID` when an outcome is written; durability.
 */
import { openSync, writeSync } from 'node:fs'

import { openDatabase } from '../../db/connect.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import { createLogger } from '../../src/log.ts'

const [data = '', url = '', path = '', durability = 'fsync'] = process.argv.slice(2)
const acknowledgements = openSync(path, 'a')
const log = createLogger({ level: 'silent' })
const database = await openDatabase({ url, data, migrate: false })
const ledger = openLedger({ data, database, log, thread: { url, embedded: false }, seed: Buffer.alloc(32, 7), audit: { durability: durability === 'os' ? 'os' : 'fsync', maxOutage: 60_000, spoolMax: 1e9, checkpointEvery: 60_000, anchor: undefined } })

for (let caller = 0; caller < 8; caller++) call()

function call (): void {
  const record = ledger.newRecord()
  ledger.append({ kind: 'call', record, upstream: 'files', target: 'read_file', args: '{"path":"/data/a"}', decision: 'allow' })
  ledger.durable((error) => {
    if (error !== undefined) throw error
    writeSync(acknowledgements, `intent ${record}\n`)
    ledger.append({ kind: 'outcome', record, outcome: 'ok', durationMs: 1 }, { force: true })
    ledger.written((error) => {
      if (error !== undefined) throw error
      writeSync(acknowledgements, `outcome ${record}\n`)
      call()
    })
  })
}
