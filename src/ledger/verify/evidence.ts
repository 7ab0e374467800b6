import type { KeyObject } from 'node:crypto'

import { readCheckpoint } from '../checkpoint.ts'
import type { ReadCheckpoint } from '../checkpoint.ts'
import type { Finding } from './finding.ts'

/** Checkpoints from one place: the database, the file, an anchor. */
export interface Source {
  readonly name: string
  readonly lines: readonly string[]
}

/** What signatures say, whatever the database says. */
export interface Evidence {
  /** Good checkpoints of each chain in the order of their numbers. */
  readonly byChain: ReadonlyMap<string, readonly ReadCheckpoint[]>
  /** Statements whose signature is wrong, or made with a key that nobody vouches for. */
  readonly findings: readonly Finding[]
}

/** Puts together what all sources say. */
export function gatherEvidence (sources: readonly Source[], keys: ReadonlyMap<string, KeyObject>): Evidence {
  const byChain = new Map<string, ReadCheckpoint[]>()
  const findings: Finding[] = []
  const seen = new Set<string>()
  for (const { name, lines } of sources) {
    for (const line of lines) {
      if (seen.has(line)) continue
      seen.add(line)
      const checkpoint = readCheckpoint(line, keys)
      if (checkpoint === undefined) findings.push({ flaw: 'bad signature', chain: '', node: '', text: `${name} holds a line that is no checkpoint: ${JSON.stringify(line.slice(0, 80))}.` })
      else if (checkpoint.status === 'signed') byChain.set(checkpoint.chain, [...byChain.get(checkpoint.chain) ?? [], checkpoint])
      else findings.push(distrust(name, checkpoint))
    }
  }
  for (const checkpoints of byChain.values()) checkpoints.sort((a, b) => a.seq - b.seq)
  return { byChain, findings }
}

function distrust (source: string, { chain, node, seq, key, status, time }: ReadCheckpoint): Finding {
  if (status === 'bad signature') return { flaw: 'bad signature', chain, node, seq, text: `${source} holds a checkpoint of ${time} whose signature is wrong: it was changed, or forged.` }
  return { flaw: 'unknown key', chain, node, seq, text: `${source} holds a checkpoint of ${time} that the key ${key} signed. If it is the key of another gateway of yours, name its public key with --key.` }
}
