import type { ChainRow } from '../../../db/chain-rows.ts'
import { genesisOf } from '../hash-chain.ts'
import type { Finding } from '../verify/finding.ts'
import type { CheckedArchive } from './check-archive.ts'
import type { ArchivedChain } from './manifest.ts'

/**
 * Do the archives hold, without a gap, what retention took from each chain? Names the first record of a chain that
 * none of them has, and archives that tell another story than the chain that is still there.
 */
export function findGaps (chains: readonly ChainRow[], archives: readonly CheckedArchive[]): Finding[] {
  const stretches = archives.flatMap(({ manifest }) => manifest?.chains ?? [])
  return chains.filter(({ prunedSeq }) => prunedSeq > 0).flatMap(chain => gapIn(chain, stretches.filter(stretch => stretch.chain === chain.id)) ?? [])
}

function gapIn (chain: ChainRow, stretches: readonly ArchivedChain[]): Finding | undefined {
  const found = (flaw: Finding['flaw'], seq: number, text: string): Finding => ({ flaw, chain: chain.id, node: chain.node, seq, text })
  let seq = 0
  let hash = genesisOf(chain).toString('hex')
  for (const { from, to } of [...stretches].sort((a, b) => a.from.seq - b.from.seq)) {
    if (from.seq > seq) break
    if (to.seq <= seq) continue
    if (from.seq === seq && from.hash !== hash) return found('rewritten', seq + 1, `The archive with the records from ${seq + 1} on does not follow on what is before them.`)
    seq = to.seq
    hash = to.hash
  }
  if (seq < chain.prunedSeq) return found('missing', seq + 1, `Retention took the records up to ${chain.prunedSeq}, and no archive has those from ${seq + 1} on.`)
  if (seq === chain.prunedSeq && hash !== chain.prunedHash?.toString('hex')) return found('rewritten', seq, `The archives end with another record ${seq} than the one on which the chain goes on.`)
  return undefined
}
