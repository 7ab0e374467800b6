import { setTimeout as sleep } from 'node:timers/promises'

import type { Database, Log } from '../../../db/connect.ts'
import { dropPart, holdOn, listParts } from '../../../db/retention.ts'
import type { Part } from '../../../db/retention.ts'
import type { Signer } from '../checkpoint.ts'
import type { Ledger } from '../ledger.ts'
import { Notary } from '../notary.ts'
import { onRecord } from '../on-record.ts'
import type { Actor } from '../on-record.ts'
import type { Finding } from '../verify/finding.ts'
import { writeArchive } from './archive.ts'
import { verifyParts } from './verified.ts'
import type { VerifiedPart, Vouchers } from './verified.ts'

export interface RetainOptions extends Vouchers {
  /** Without limits on how long a statement may take, as the owner of the ledger. */
  readonly database: Pick<Database, 'db' | 'url'>
  readonly ledger: Pick<Ledger, 'append' | 'durable' | 'newRecord'>
  /** Data directory: signed heads go to its file. */
  readonly data: string
  readonly signer: Signer
  readonly anchor: string | undefined
  /** Records from before then may go. */
  readonly before: Date
  /** Directory in which every partition is archived before it goes. */
  readonly archive: string | undefined
  /** Records go although they are not as they were written; what was found goes on the record. */
  readonly despite?: boolean
  readonly by: Actor
  readonly log: Log
}

/** What became of one partition that is old enough. */
export interface Retained {
  readonly part: Part
  readonly records: number
  /** The file it was archived in. */
  readonly archive: string | undefined
}

export interface Retention {
  readonly dropped: readonly Retained[]
  /** The partition that a hold keeps, and with it all later ones: a chain only ever loses its beginning. */
  readonly kept: { readonly part: Part, readonly hold: string } | undefined
  /** Why nothing was dropped: the ledger is not as it was written. */
  readonly findings: readonly Finding[]
}

/**
 * Takes out the partitions whose records are all older than `before`, oldest first: verified, archived if so asked, on the record, and behind a
 * signed head from which the rest of each chain still verifies. What does not verify stays, unless `despite` is said.
 */
export async function retain (options: RetainOptions): Promise<Retention> {
  const { database, despite = false } = options
  const due = partsBefore(await listParts(database.db), options.before)
  const { free, kept } = await untilHeld(database, due)
  if (free.length === 0) return { dropped: [], kept, findings: [] }
  const { verified, findings } = await verifyParts(database, free, options)
  if (findings.length > 0 && !despite) return { dropped: [], kept, findings }
  const notary = new Notary(options)
  try {
    const dropped: Retained[] = []
    for (const part of verified) dropped.push(await take(part, options, notary, findings))
    return { dropped, kept, findings }
  } finally {
    notary.close()
  }
}

/** Those that hold nothing from then on. */
export function partsBefore (parts: readonly Part[], time: Date): Part[] {
  return parts.filter(({ end }) => end <= time)
}

async function untilHeld ({ db }: RetainOptions['database'], due: readonly Part[]): Promise<{ free: Part[], kept: Retention['kept'] }> {
  for (const [index, part] of due.entries()) {
    const hold = await holdOn(db, part)
    if (hold !== undefined) return { free: due.slice(0, index), kept: { part, hold } }
  }
  return { free: [...due], kept: undefined }
}

/** How long the database and the anchor may take to get the signatures, in milliseconds. */
const SETTLE_MS = 60_000

async function take ({ part, stretches }: VerifiedPart, options: RetainOptions, notary: Notary, findings: readonly Finding[]): Promise<Retained> {
  const { database, ledger, by, archive: directory, signer } = options
  const records = stretches.reduce((sum, stretch) => sum + stretch.records, 0)
  const archive = directory === undefined ? undefined : await writeArchive(database.db, part, stretches, { directory, signer, time: new Date() })
  const detail = { action: 'retention', part: part.table, before: options.before, records, chains: stretches.length, archive, ...(findings.length > 0 && { despite: findings.slice(0, 10).map(({ text }) => text) }) }
  await onRecord(ledger, by, detail)
  for (const { chain, node, openedAt, last, lastHash } of stretches) notary.sign({ id: chain, node, openedAt }, { seq: last, hash: lastHash }, 'retention')
  if (!await notary.settle(AbortSignal.timeout(SETTLE_MS))) throw new Error('The signatures for retention could not be brought to the database and the anchor; nothing was dropped.')
  await withPatience(async () => await dropPart(database.db, part, findings.length === 0))
  return { part, records, archive }
}

const TRIES = 5
const PAUSE_MS = 3_000

/** To drop a partition nobody may be reading the ledger for a moment; a long query or a backup may be under way. */
async function withPatience (drop: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await drop()
    } catch (error) {
      if (!isLocked(error) || tries === TRIES) throw error
      await sleep(PAUSE_MS)
    }
  }
}

/** SQLSTATE 55P03, lock_not_available */
function isLocked (error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '55P03'
}
