import type { KeyObject } from 'node:crypto'

import type { Database } from '../../../db/connect.ts'
import { stretchesOf } from '../../../db/retention.ts'
import type { Part, Stretch } from '../../../db/retention.ts'
import { withSnapshot } from '../../../db/snapshot.ts'
import type { Source } from '../verify/evidence.ts'
import type { Finding } from '../verify/finding.ts'
import { verifyView } from '../verify/verify.ts'

/** What says that the ledger is as it was written. */
export interface Vouchers {
  /** Whose signatures count, by id. */
  readonly keys: ReadonlyMap<string, KeyObject>
  /** Signed heads from outside the database. */
  readonly sources: readonly Source[]
}

/** A partition with what was verified of it. */
export interface VerifiedPart {
  readonly part: Part
  readonly stretches: readonly Stretch[]
}

/**
 * Verifies the ledger, and on the same view takes down where each partition begins and ends in every chain: what is
 * signed or written down from here on is what was verified. `findings` are those about the chains concerned.
 */
export async function verifyParts ({ url }: Pick<Database, 'url'>, parts: readonly Part[], { keys, sources }: Vouchers): Promise<{ readonly verified: readonly VerifiedPart[], readonly findings: readonly Finding[] }> {
  return await withSnapshot(url, async (view) => {
    const { findings } = await verifyView(view, { keys, sources })
    const verified: VerifiedPart[] = []
    for (const part of parts) verified.push({ part, stretches: await stretchesOf(view.db, part) })
    const concerned = new Set(verified.flatMap(({ stretches }) => stretches.map(({ chain }) => chain)))
    return { verified, findings: findings.filter(({ chain, flaw }) => concerned.has(chain) || flaw === 'chain missing') }
  })
}
