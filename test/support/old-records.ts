import type { KeyObject } from 'node:crypto'

import { addCheckpoint } from '../../db/checkpoints.ts'
import { ingest, openChain } from '../../db/chains.ts'
import type { Database } from '../../db/connect.ts'
import { appendCheckpoint } from '../../src/ledger/checkpoint-file.ts'
import { signCheckpoint, signerOf } from '../../src/ledger/checkpoint.ts'
import { encode } from '../../src/ledger/entry.ts'
import type { Entry } from '../../src/ledger/entry.ts'
import { genesisOf, hashesOf, HASH_BYTES } from '../../src/ledger/hash-chain.ts'
import type { Tip } from '../../src/ledger/hash-chain.ts'
import { ledgerSeed } from '../../src/ledger/keys.ts'

export interface Site { readonly database: Database, readonly data: string }

/** A record, and when it was written. */
export type Dated = readonly [time: string, entry: Entry]

/** A chain as a gateway with this data directory would have left it, had it run at those times: a batch for each list, its head signed. */
export async function leaveChain ({ database, data }: Site, id: string, batches: readonly (readonly Dated[])[]): Promise<{ readonly publicKey: KeyObject }> {
  const signer = signerOf(ledgerSeed(data))
  const chain = { id, node: 'test', openedAt: new Date(batches[0]?.[0]?.[0] ?? 0) }
  let tip: Tip = await openChain(database.db, chain, genesisOf(chain))
  for (const batch of batches) {
    const lines = Buffer.from(batch.map(([time, entry]) => encode(entry, time)).join('\n'))
    const hashes = hashesOf(tip.hash, lines)
    tip = { seq: await ingest(database.pool, id, tip.seq + 1, lines, hashes), hash: hashes.subarray(-HASH_BYTES) }
    const time = new Date(batch.at(-1)?.[0] ?? 0)
    const line = signCheckpoint(signer, chain, tip, { time, reason: 'interval', previous: '' })
    appendCheckpoint(data, time, line)
    await addCheckpoint(database.db, id, tip.seq, line)
  }
  await database.pool.query('select ledger.close_chain($1)', [id])
  return { publicKey: signer.publicKey }
}
