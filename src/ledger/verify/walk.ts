import { copyChain } from '../../../db/chain-copy.ts'
import { notAsWritten, outsideChain, suspects } from '../../../db/chain-rows.ts'
import type { ChainRow } from '../../../db/chain-rows.ts'
import type { Snapshot } from '../../../db/snapshot.ts'
import type { ReadCheckpoint } from '../checkpoint.ts'
import { genesisOf } from '../hash-chain.ts'
import type { Tip } from '../hash-chain.ts'
import { diagnose } from './diagnose.ts'
import type { Finding, Flaw } from './finding.ts'
import { Follower, Mismatch } from './follow.ts'

export interface Walked {
  readonly records: number
  /** Up to here a signature covers the records. */
  readonly signed: number
  readonly finding: Finding | undefined
}

/** Records that are looked at one by one where something does not fit. */
const PAGE_ROWS = 4_000

/** Records that are read at once: so many that beginning anew does not count, and that a statement stays short. */
const STRETCH_ROWS = 12 * PAGE_ROWS

/**
 * Follows one chain from `start` (its beginning, the end of what retention took, or a signed head) to its head, and
 * compares it with every checkpoint on the way. Stops at the first flaw. Memory: a few chunks of what the database sends; a page where something does not fit.
 */
export async function walkChain (snapshot: Snapshot, chain: ChainRow, checkpoints: readonly ReadCheckpoint[], start: Tip): Promise<Walked> {
  const { db } = snapshot
  const found = (flaw: Flaw, text: string, seq?: number, record?: string): Finding => ({ flaw, chain: chain.id, node: chain.node, text, ...(seq !== undefined && { seq }), ...(record !== undefined && { record }) })
  let tip = start
  let signed = checkpoints.some(({ seq }) => seq === start.seq) ? start.seq : 0
  const ahead = checkpoints.filter(({ seq }) => seq > start.seq)
  const end = (finding: Finding | undefined): Walked => ({ records: tip.seq - start.seq, signed, finding })

  while (tip.seq < chain.lastSeq) {
    const follower = new Follower(tip, ahead, PAGE_ROWS)
    await copyChain(snapshot, chain.id, tip.seq, chain.lastSeq, STRETCH_ROWS, follower.row)
    signed = follower.signed?.seq ?? signed
    const edited = follower.unsure.length === 0 ? undefined : await notAsWritten(db, chain.id, follower.unsure)
    if (edited !== undefined || follower.stopped !== undefined) {
      tip = follower.tips.findLast(({ seq }) => edited === undefined || seq < edited) ?? tip
      const rows = await suspects(db, chain.id, tip.seq, chain.lastSeq, PAGE_ROWS)
      const gap = chain.gaps.find(({ after, before }) => after >= tip.seq && before > after && before <= chain.lastSeq)
      const finding = diagnose(tip, rows, found, gap)
      if (finding !== undefined) return end(finding)
      if (!(follower.stopped instanceof Mismatch)) return end(found('edited', `The records after ${tip.seq} do not fit together.`, tip.seq + 1))
      const { checkpoint } = follower.stopped
      return end(found('rewritten', `The records up to ${checkpoint.seq} do not lead to the head that was signed at ${checkpoint.time}: everything after record ${signed} may have been written anew.`, signed + 1))
    }
    if (follower.tip.seq === tip.seq) return end(found('cut off', `The records from ${tip.seq + 1} on are missing at the end: the head of the chain is ${chain.lastSeq}.`, tip.seq + 1))
    tip = follower.tip
  }
  const beyond = await outsideChain(db, chain.id, chain.prunedSeq, chain.lastSeq)
  if (beyond !== undefined) return end(found('added', `Record ${beyond} lies outside the chain, whose head is ${chain.lastSeq}: no gateway wrote it.`, beyond))
  if (chain.lastHash === null || !chain.lastHash.equals(tip.hash)) return end(found('edited', `The head of the chain does not fit its last record ${tip.seq}.`, tip.seq))
  const farther = ahead.find(({ seq }) => seq > chain.lastSeq)
  if (farther !== undefined) return end(found('cut off', `The records from ${chain.lastSeq + 1} to ${farther.seq} are missing at the end: a head of ${farther.seq} was signed at ${farther.time}.`, chain.lastSeq + 1))
  return end(undefined)
}

/** Where a chain begins that nothing was taken from. */
export function beginning (chain: ChainRow): Tip {
  return { seq: 0, hash: genesisOf(chain) }
}
