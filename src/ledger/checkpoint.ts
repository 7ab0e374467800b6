import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

import type { Tip } from './hash-chain.ts'
import type { Chain } from './segment.ts'

/** Why a head was signed: time or number of records, the end of the chain, or because what is before it goes. */
export type Reason = 'interval' | 'close' | 'retention'

/** What a gateway says of a chain, and signs. */
export interface Checkpoint {
  readonly chain: string
  readonly node: string
  readonly seq: number
  /** Of the record `seq`, in hex. */
  readonly hash: string
  /** ISO 8601. */
  readonly time: string
  readonly reason: Reason
  /** Digest of the checkpoint this data directory signed before, of whatever chain; '' for the first. */
  readonly previous: string
  /** Id of the key. */
  readonly key: string
}

/** The key that signs; `seed` never leaves the process. */
export interface Signer {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly key: string
}

/** PKCS #8 (RFC 8410) around the 32 bytes of an Ed25519 private key. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** An Ed25519 key from 32 secret bytes, always the same from the same bytes. */
export function signerOf (seed: Buffer): Signer {
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(privateKey)
  return { privateKey, publicKey, key: keyId(publicKey) }
}

/** Short name of a public key. */
export function keyId (publicKey: KeyObject): string {
  return createHash('sha256').update(publicKey.export({ format: 'der', type: 'spki' })).digest('hex').slice(0, 16)
}

/** One line of JSON: the statement with its signature. It needs nothing else to be checked but the public key. */
export function signCheckpoint (signer: Signer, chain: Chain, tip: Tip, { time, reason, previous }: Pick<Checkpoint, 'reason' | 'previous'> & { readonly time: Date }): string {
  const text = statementOf({ chain: chain.id, node: chain.node, seq: tip.seq, hash: tip.hash.toString('hex'), time: time.toISOString(), reason, previous, key: signer.key })
  return `${text.slice(0, -1)},"signature":"${sign(null, Buffer.from(text), signer.privateKey).toString('base64url')}"}`
}

/** What names a checkpoint in the one that follows it. */
export function checkpointDigest (line: string): string {
  return createHash('sha256').update(line).digest('hex')
}

/** A checkpoint that was read from somewhere. */
export interface ReadCheckpoint extends Checkpoint {
  /** As it was written. */
  readonly line: string
  readonly digest: string
  /** Signed by one of the keys; otherwise it is worth nothing. */
  readonly status: 'signed' | 'unknown key' | 'bad signature'
}

/** Undefined: this is no checkpoint at all. */
export function readCheckpoint (line: string, keys: ReadonlyMap<string, KeyObject>): ReadCheckpoint | undefined {
  const fields = parse(line)
  if (fields === undefined) return undefined
  const { signature, ...checkpoint } = fields
  const key = keys.get(checkpoint.key)
  const status = key === undefined ? 'unknown key' : verify(null, Buffer.from(statementOf(checkpoint)), key, Buffer.from(signature, 'base64url')) ? 'signed' : 'bad signature'
  return { ...checkpoint, line, digest: checkpointDigest(line), status }
}

/** The text that is signed: these members in this order. */
function statementOf ({ chain, node, seq, hash, time, reason, previous, key }: Checkpoint): string {
  return JSON.stringify({ portcullis: 'checkpoint/1', chain, node, seq, hash, time, reason, previous, key })
}

function parse (line: string): Checkpoint & { signature: string } | undefined {
  try {
    const { portcullis, chain, node, seq, hash, time, reason, previous, key, signature } = JSON.parse(line) as Record<string, unknown>
    if (portcullis !== 'checkpoint/1' || !Number.isSafeInteger(seq) || !isReason(reason)) return undefined
    for (const text of [chain, node, hash, time, previous, key, signature]) if (typeof text !== 'string') return undefined
    return { chain: String(chain), node: String(node), seq: Number(seq), hash: String(hash), time: String(time), reason, previous: String(previous), key: String(key), signature: String(signature) }
  } catch {
    return undefined
  }
}

function isReason (text: unknown): text is Reason {
  return text === 'interval' || text === 'close' || text === 'retention'
}
