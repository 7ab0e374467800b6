import { closeChain, danglingIntents, ingest, openChain } from '../../db/chains.ts'
import type { Database } from '../../db/connect.ts'
import { BATCH_ROWS } from './backlog.ts'
import { encode } from './entry.ts'
import type { Chain } from './segment.ts'

/**
 * Closes a chain whose records are all in the database. Each intent whose outcome nobody will ever know gets a
 * `recovered` record first. Returns how many there were. May be done again when it fails on the way.
 */
export async function finishChain (database: Pick<Database, 'db' | 'pool'>, chain: Chain): Promise<number> {
  let head = await openChain(database.db, chain)
  const records = await danglingIntents(database.db, chain.id)
  for (let start = 0; start < records.length; start += BATCH_ROWS) {
    const time = new Date().toISOString()
    const lines = records.slice(start, start + BATCH_ROWS).map(record => encode({ kind: 'recovered', record, outcome: 'unknown' }, time))
    const reached = await ingest(database.pool, chain.id, head + 1, Buffer.from(lines.join('\n')))
    if (reached !== head + lines.length) throw new Error(`chain ${chain.id} is being written by another process`)
    head = reached
  }
  await closeChain(database.db, chain.id)
  return records.length
}
