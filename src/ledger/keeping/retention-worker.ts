/** The thread that `openSteward` starts: verifying months of records must not hold up calls. */
import { parentPort, workerData } from 'node:worker_threads'

import { connectPatiently } from '../../../db/connect.ts'
import type { Log } from '../../../db/connect.ts'
import { readCheckpointFiles } from '../checkpoint-file.ts'
import { signerOf } from '../checkpoint.ts'
import { ledgerSeed, trustedKeys } from '../keys.ts'
import { openLedger } from '../ledger.ts'
import { retain } from './retain.ts'
import type { StewardNews, StewardPlan } from './steward.ts'

if (parentPort !== null) {
  const port = parentPort
  await run(workerData as StewardPlan, news => port.postMessage(news))
}

async function run ({ url, data, audit }: StewardPlan, tell: (news: StewardNews) => void): Promise<void> {
  const at = (level: StewardNews['log']) => (facts: object, message: string) => tell({ log: level, facts, message })
  const log: Log = { info: at('info'), warn: at('warn'), error: at('error') }
  const database = connectPatiently(url, log)
  const seed = ledgerSeed(data)
  // What it does is in a chain of its own, as it is for a command.
  const ledger = openLedger({ data, database, seed, audit, log })
  try {
    const { dropped, kept, findings } = await retain({
      keys: trustedKeys(data, []),
      sources: [{ name: 'The file of checkpoints', lines: readCheckpointFiles(data) }],
      database,
      ledger,
      data,
      signer: signerOf(seed),
      anchor: audit.anchor,
      before: new Date(Date.now() - audit.retention),
      archive: audit.archive,
      by: { source: 'gateway' },
      log,
    })
    for (const { part, records, archive } of dropped) log.info({ part: part.table, records, archive }, 'retention took a month out of the ledger')
    if (kept !== undefined) log.info({ part: kept.part.table, hold: kept.hold }, 'a hold keeps records that are older than audit.retention')
    if (findings.length > 0) log.error({ findings: findings.slice(0, 5).map(({ text }) => text) }, 'retention took nothing, because the ledger is not as it was written: see `portcullis audit verify`')
  } catch (error) {
    // An Error does not keep its members on the way to the other thread.
    log.error({ reason: error instanceof Error ? error.message : String(error) }, 'retention failed; it is tried again tomorrow')
  } finally {
    await ledger.close()
    await database.close()
  }
}
