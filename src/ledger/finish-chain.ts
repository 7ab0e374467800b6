import { closeChain, danglingIntents, ingest, openChain } from '../../db/chains.ts'
import type { Database } from '../../db/connect.ts'
import { BATCH_ROWS } from './backlog.ts'
import { encode } from './entry.ts'
import { genesisOf, hashesOf, HASH_BYTES } from './hash-chain.ts'
import type { Tip } from './hash-chain.ts'
import type { Chain } from './segment.ts'

/**
 * Closes a chain whose records are all in the database. Each intent whose outcome nobody will ever know gets a
 * `recovered` record first. `known` is how far the caller knows the chain of its own knowledge, which counts more than
 * what the database says of it. Returns how many were recovered, and where the chain ends. May be done again when it
 * fails on the way.
 */
export async function finishChain (database: Pick<Database, 'db' | 'pool'>, chain: Chain, known?: Tip): Promise<{ readonly recovered: number, readonly tip: Tip }> {
  let tip: Tip = await openChain(database.db, chain, genesisOf(chain))
  if (known?.seq === tip.seq) tip = known
  const records = await danglingIntents(database.db, chain.id)
  for (let start = 0; start < records.length; start += BATCH_ROWS) {
    const time = new Date().toISOString()
    const lines = records.slice(start, start + BATCH_ROWS).map(record => encode({ kind: 'recovered', record, outcome: 'unknown' }, time))
    const text = Buffer.from(lines.join('\n'))
    const hashes = hashesOf(tip.hash, text)
    const reached = await ingest(database.pool, chain.id, tip.seq + 1, text, hashes)
    if (reached !== tip.seq + lines.length) throw new Error(`chain ${chain.id} is being written by another process`)
    tip = { seq: reached, hash: hashes.subarray(-HASH_BYTES) }
  }
  await closeChain(database.db, chain.id)
  return { recovered: records.length, tip }
}
