import { hash as sha256 } from 'node:crypto'

import { outsideChain, nextPage, suspects } from '../../../db/chain-rows.ts'
import type { ChainRow, Page } from '../../../db/chain-rows.ts'
import type { ReadCheckpoint } from '../checkpoint.ts'
import { genesisOf, HASH_BYTES } from '../hash-chain.ts'
import type { Tip } from '../hash-chain.ts'
import { diagnose } from './diagnose.ts'
import type { Finding, Flaw } from './finding.ts'

type Db = Parameters<typeof nextPage>[0]

export interface Walked {
  readonly records: number
  /** Up to here a signature covers the records. */
  readonly signed: number
  readonly finding: Finding | undefined
}

/** Records a page: large enough that the way to the database does not count. */
const PAGE_ROWS = 4_000

/**
 * Follows one chain from `start` (its beginning, the end of what retention took, or a signed head) to its head, and
 * compares it with every checkpoint on the way. Stops at the first flaw. Memory: two pages.
 */
export async function walkChain (db: Db, chain: ChainRow, checkpoints: readonly ReadCheckpoint[], start: Tip): Promise<Walked> {
  const found = (flaw: Flaw, text: string, seq?: number, record?: string): Finding => ({ flaw, chain: chain.id, node: chain.node, text, ...(seq !== undefined && { seq }), ...(record !== undefined && { record }) })
  let tip = start
  let signed = checkpoints.some(({ seq }) => seq === start.seq) ? start.seq : 0
  const ahead = checkpoints.filter(({ seq }) => seq > start.seq)
  const end = (finding: Finding | undefined): Walked => ({ records: tip.seq - start.seq, signed, finding })

  const read = async (after: number): Promise<Page | undefined> => after < chain.lastSeq ? await nextPage(db, chain.id, after, chain.lastSeq, PAGE_ROWS) : undefined
  let coming = read(tip.seq)
  while (tip.seq < chain.lastSeq) {
    const page = await coming
    if (page === undefined) return end(found('cut off', `The records from ${tip.seq + 1} on are missing at the end: the head of the chain is ${chain.lastSeq}.`, tip.seq + 1))
    // The database reads the next page while this one is hashed.
    if (page.sound) coming = read(tip.seq + page.count)
    coming.catch(() => {}) // told where it is waited for
    const next = page.sound ? follow(tip, page, ahead, (checkpoint) => { signed = checkpoint.seq }) : undefined
    if (next === undefined || next instanceof Mismatch) {
      await coming // one connection answers one question at a time
      const rows = await suspects(db, chain.id, tip.seq, chain.lastSeq, PAGE_ROWS)
      const gap = chain.gaps.find(({ after, before }) => after >= tip.seq && before > after && before <= chain.lastSeq)
      const finding = diagnose(tip, rows, found, gap)
      if (finding !== undefined) return end(finding)
      if (next === undefined) return end(found('edited', `The records after ${tip.seq} do not fit together.`, tip.seq + 1))
      return end(found('rewritten', `The records up to ${next.checkpoint.seq} do not lead to the head that was signed at ${next.checkpoint.time}: everything after record ${signed} may have been written anew.`, signed + 1))
    }
    tip = next
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

/** The records fit together, and not with this checkpoint. */
class Mismatch {
  readonly checkpoint: ReadCheckpoint

  constructor (checkpoint: ReadCheckpoint) {
    this.checkpoint = checkpoint
  }
}

/** Hashes a page. Undefined: a hash does not fit. Leaves nothing behind but the tip. */
function follow (tip: Tip, { texts, hashes, count }: Page, ahead: readonly ReadCheckpoint[], passed: (checkpoint: ReadCheckpoint) => void): Tip | Mismatch | undefined {
  let { seq } = tip
  let at = 0
  let next = ahead.findIndex(checkpoint => checkpoint.seq > seq)
  tip.hash.copy(pair)
  for (let n = 0; n < count; n++) {
    const end = texts.indexOf('\n', at)
    const link = linkAfter(texts.slice(at, end))
    if (link !== hashes.toString('latin1', n * HASH_BYTES, (n + 1) * HASH_BYTES)) return undefined
    seq++
    at = end + 1
    for (; ahead[next]?.seq === seq; next++) {
      const checkpoint = ahead[next]
      if (checkpoint === undefined) break
      if (checkpoint.hash !== pair.toString('hex', 0, HASH_BYTES)) return new Mismatch(checkpoint)
      passed(checkpoint)
    }
  }
  return { seq, hash: Buffer.from(pair.subarray(0, HASH_BYTES)) }
}

/** The hash of the record before, and the digest of the record itself. */
const pair = Buffer.alloc(2 * HASH_BYTES)

/** `linkHash`, of what lies in `pair` and this record; it then lies in `pair`. As latin1 text, since a buffer for each hash takes longer than the hash. */
function linkAfter (record: string): string {
  pair.write(sha256('sha256', record, 'binary'), HASH_BYTES, 'latin1')
  const link = sha256('sha256', pair, 'binary')
  pair.write(link, 'latin1')
  return link
}
