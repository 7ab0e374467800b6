import type { KeyObject } from 'node:crypto'

import { recordPlace, recordsBetween } from '../../db/proof-rows.ts'
import { checkpointLines } from '../../db/checkpoints.ts'
import type { Database } from '../../db/connect.ts'
import { readCheckpoint } from './checkpoint.ts'
import { digestOf, linkDigest } from './hash-chain.ts'

/**
 * Everything it takes to show that a record stood in the ledger when a later head was signed: its text, the hash before
 * it, the digests of what followed, and the signed head. The records in between are not disclosed.
 */
export interface Proof {
  readonly portcullis: 'proof/1'
  /** The record, byte for byte. */
  readonly text: string
  readonly seq: number
  /** Hex. */
  readonly before: string
  /** Of the records after it up to the signed head, hex. */
  readonly after: readonly string[]
  readonly checkpoint: string
}

/** Proofs of everything that was written under a record id. Throws an Error that says what is missing. */
export async function proveRecord ({ db }: Pick<Database, 'db'>, record: string, keys: ReadonlyMap<string, KeyObject>): Promise<Proof[]> {
  const places = await recordPlace(db, record)
  if (places.length === 0) throw new Error(`There is no record ${JSON.stringify(record)}.`)
  const signed = (await checkpointLines(db)).map(line => readCheckpoint(line, keys)).filter(checkpoint => checkpoint?.status === 'signed')
  return await Promise.all(places.map(async ({ chain, seq, text, before }) => {
    const checkpoint = signed.find(candidate => candidate?.chain === chain && candidate.seq >= seq)
    if (checkpoint === undefined) throw new Error(`No signature covers record ${record} yet: heads are signed at audit.checkpoint_every, and when a gateway stops.`)
    const later = await recordsBetween(db, chain, seq, checkpoint.seq)
    return { portcullis: 'proof/1' as const, text, seq, before: before.toString('hex'), after: later.map(body => digestOf(body).toString('hex')), checkpoint: checkpoint.line }
  }))
}

export interface CheckedProof {
  /** Why it proves nothing; undefined: it holds. */
  readonly problem: string | undefined
  readonly text: string
  /** Who signed, and when. */
  readonly node: string
  readonly time: string
  readonly key: string
}

/** Does it hold? Needs nothing but the public keys. Throws when this is no proof. */
export function checkProof (proof: unknown, keys: ReadonlyMap<string, KeyObject>): CheckedProof {
  if (!isProof(proof)) throw new Error('This is not a proof as `portcullis audit prove` prints it.')
  const checkpoint = readCheckpoint(proof.checkpoint, keys)
  if (checkpoint === undefined) throw new Error('The proof holds no checkpoint.')
  const { node, time, key, status } = checkpoint
  const checked = (problem: string | undefined): CheckedProof => ({ problem, text: proof.text, node, time, key })
  if (status === 'unknown key') return checked(`it was signed with the key ${key}, which nobody vouches for: name its public key with --key`)
  if (status === 'bad signature') return checked('the signature of its checkpoint is wrong')
  if (proof.seq + proof.after.length !== checkpoint.seq) return checked('the number of records does not fit the checkpoint')
  const digests = [digestOf(proof.text), ...proof.after.map(hex => Buffer.from(hex, 'hex'))]
  const head = digests.reduce((hash, digest) => linkDigest(hash, digest), Buffer.from(proof.before, 'hex'))
  return checked(head.toString('hex') === checkpoint.hash ? undefined : 'the record does not lead to the head that was signed: it was changed')
}

const HEX = /^[0-9a-f]{64}$/

function isProof (value: unknown): value is Proof {
  if (typeof value !== 'object' || value === null) return false
  const { portcullis, text, seq, before, after, checkpoint } = value as Record<string, unknown>
  return portcullis === 'proof/1' && typeof text === 'string' && Number.isSafeInteger(seq) && typeof checkpoint === 'string' &&
    typeof before === 'string' && HEX.test(before) && Array.isArray(after) && after.every(hex => typeof hex === 'string' && HEX.test(hex))
}
