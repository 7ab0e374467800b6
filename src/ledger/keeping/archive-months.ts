import { existsSync } from 'node:fs'

import type { Database } from '../../../db/connect.ts'
import { listParts } from '../../../db/retention.ts'
import type { Signer } from '../checkpoint.ts'
import type { Ledger } from '../ledger.ts'
import { onRecord } from '../on-record.ts'
import type { Actor } from '../on-record.ts'
import type { Finding } from '../verify/finding.ts'
import { archiveFile, writeArchive } from './archive.ts'
import { partsBefore } from './retain.ts'
import { verifyParts } from './verified.ts'
import type { Vouchers } from './verified.ts'

export interface ArchiveOptions extends Vouchers {
  /** Without limits on how long a statement may take. */
  readonly database: Pick<Database, 'db' | 'url'>
  readonly ledger: Pick<Ledger, 'append' | 'durable' | 'newRecord'>
  readonly signer: Signer
  readonly directory: string
  readonly by: Actor
  readonly now: Date
}

/** Archives every partition that no new record belongs to and whose file is not there yet. Nothing is written when the ledger does not verify. */
export async function archiveMonths ({ database, ledger, directory, signer, by, now, ...vouchers }: ArchiveOptions): Promise<{ readonly files: readonly string[], readonly findings: readonly Finding[] }> {
  const due = partsBefore(await listParts(database.db), now).filter(part => !existsSync(archiveFile(directory, part)))
  if (due.length === 0) return { files: [], findings: [] }
  const { verified, findings } = await verifyParts(database, due, vouchers)
  if (findings.length > 0) return { files: [], findings }
  const files: string[] = []
  for (const { part, stretches } of verified) {
    if (stretches.length === 0) continue
    await onRecord(ledger, by, { action: 'archive', part: part.table, file: archiveFile(directory, part) })
    files.push(await writeArchive(database.db, part, stretches, { directory, signer, time: now }))
  }
  return { files, findings }
}
