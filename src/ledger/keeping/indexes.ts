import type { Database, Log } from '../../../db/connect.ts'
import { missingIndexes } from '../../../db/ledger-indexes.ts'

/** After an upgrade of a large ledger: says how its owner gets the indexes that the migration left out. Never rejects. */
export async function announceMissingIndexes ({ db }: Pick<Database, 'db'>, log: Log): Promise<void> {
  try {
    const missing = await missingIndexes(db)
    if (missing.length > 0) log.warn({ indexes: missing.length }, 'searches of the ledger are slow: `portcullis db index` builds the indexes they lack, beside the gateway')
  } catch (err) {
    log.warn({ err }, 'it cannot be seen whether the ledger lacks indexes')
  }
}
