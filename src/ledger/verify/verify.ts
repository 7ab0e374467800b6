import type { KeyObject } from 'node:crypto'

import { checkpointLines } from '../../../db/checkpoints.ts'
import { chainRows, strayChains } from '../../../db/chain-rows.ts'
import type { ChainRow } from '../../../db/chain-rows.ts'
import type { Database } from '../../../db/connect.ts'
import { withSnapshot } from '../../../db/snapshot.ts'
import type { Snapshot } from '../../../db/snapshot.ts'
import type { ReadCheckpoint } from '../checkpoint.ts'
import type { Tip } from '../hash-chain.ts'
import { gatherEvidence } from './evidence.ts'
import type { Source } from './evidence.ts'
import type { Finding } from './finding.ts'
import { beginning, walkChain } from './walk.ts'

export interface VerifyOptions {
  readonly database: Pick<Database, 'url'>
  /** Whose signatures count, by id. */
  readonly keys: ReadonlyMap<string, KeyObject>
  /** Checkpoints from outside the database. */
  readonly sources: readonly Source[]
  /** What was signed before is taken as it was signed then; everything when left out. */
  readonly since?: Date | undefined
}

export interface Verified {
  readonly chains: number
  readonly records: number
  readonly checkpoints: number
  /** Records at the ends of open chains that no signature covers yet. */
  readonly unsigned: number
  /** The first flaw of each chain, and what is wrong with the signatures. Empty: nothing was changed. */
  readonly findings: readonly Finding[]
}

/** A head that has moved is signed within this time, in milliseconds, whatever the configuration says. */
const SIGNED_WITHIN = 3_600_000

/** Reads everything the ledger holds, on one unchanging view of it, and says what does not fit. */
export async function verifyLedger ({ database, ...options }: VerifyOptions): Promise<Verified> {
  return await withSnapshot(database.url, async snapshot => await verifyView(snapshot, options))
}

/** The same on a view that the caller has, so that it can go on with what was verified. */
export async function verifyView (snapshot: Snapshot, { keys, sources, since }: Omit<VerifyOptions, 'database'>): Promise<Verified> {
  const { db } = snapshot
  const evidence = gatherEvidence([{ name: 'The database', lines: await checkpointLines(db) }, ...sources], keys)
  const findings = [...evidence.findings]
  const chains = await chainRows(db)
  let records = 0
  let unsigned = 0
  for (const chain of chains) {
    const checkpoints = evidence.byChain.get(chain.id) ?? []
    if (since !== undefined && isOlder(chain, since) && checkpoints.at(-1)?.seq === chain.lastSeq) continue
    const start = startOf(chain, checkpoints, since)
    const walked = 'flaw' in start ? { records: 0, signed: 0, finding: start } : await walkChain(snapshot, chain, checkpoints, start)
    const finding = walked.finding ?? unsignedEnd(chain, walked.signed)
    if (finding !== undefined) findings.push(finding)
    else unsigned += chain.lastSeq - walked.signed
    records += walked.records
  }
  findings.push(...missingChains(chains, evidence.byChain))
  for (const id of await strayChains(db)) findings.push({ flaw: 'chain missing', chain: id, node: '', text: 'There are records of this chain, but the chain itself is not known.' })
  return { chains: chains.length, records, checkpoints: [...evidence.byChain.values()].reduce((sum, list) => sum + list.length, 0), unsigned, findings }
}

/** Where to begin: at the first record there should be, or at the newest head that was signed before `since`. */
function startOf (chain: ChainRow, checkpoints: readonly ReadCheckpoint[], since: Date | undefined): Tip | Finding {
  const earlier = since === undefined ? undefined : checkpoints.filter(({ time, seq }) => new Date(time) < since && seq >= chain.prunedSeq && seq <= chain.lastSeq).at(-1)
  if (earlier !== undefined) return { seq: earlier.seq, hash: Buffer.from(earlier.hash, 'hex') }
  if (chain.prunedSeq === 0) return beginning(chain)
  const boundary = checkpoints.find(({ seq, hash, reason }) => reason === 'retention' && seq === chain.prunedSeq && hash === chain.prunedHash?.toString('hex'))
  if (boundary !== undefined) return { seq: boundary.seq, hash: Buffer.from(boundary.hash, 'hex') }
  return { flaw: 'missing', chain: chain.id, node: chain.node, seq: 1, text: `The records up to ${chain.prunedSeq} are gone, and no signature says that retention took them.` }
}

function isOlder ({ lastTs }: ChainRow, since: Date): boolean {
  return lastTs !== null && lastTs < since
}

/** A gateway signs the end of its chain, and of the chains of those that could not. */
function unsignedEnd (chain: ChainRow, signed: number): Finding | undefined {
  if (signed === chain.lastSeq || isRecent(chain.closedAt ?? chain.lastTs, chain.closedAt === null ? SIGNED_WITHIN : GRACE)) return undefined
  return { flaw: 'not signed', chain: chain.id, node: chain.node, seq: signed + 1, text: `The records from ${signed + 1} to ${chain.lastSeq} are not covered by any signature.` }
}

/** A time in the future is nobody's excuse. */
function isRecent (time: Date | null, milliseconds: number): boolean {
  return time !== null && Math.abs(Date.now() - time.getTime()) < milliseconds
}

/** The signature of an end reaches the database a moment after the end itself. */
const GRACE = 60_000

function missingChains (chains: readonly ChainRow[], byChain: ReadonlyMap<string, readonly ReadCheckpoint[]>): Finding[] {
  const known = new Set(chains.map(({ id }) => id))
  return [...byChain].filter(([id]) => !known.has(id)).map(([id, checkpoints]) => {
    const last = checkpoints.at(-1)
    return { flaw: 'chain missing', chain: id, node: last?.node ?? '', seq: 1, text: `The whole chain is missing: a head of ${last?.seq ?? 0} was signed at ${last?.time ?? '?'}.` }
  })
}
