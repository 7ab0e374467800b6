import { sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

import type { Signer } from '../checkpoint.ts'

/** A place in a chain, as text. */
interface Place {
  readonly seq: number
  /** Hex. */
  readonly hash: string
}

/** The records of one chain in an archive: those after `from`, up to `to`. */
export interface ArchivedChain {
  readonly chain: string
  readonly node: string
  /** ISO 8601. */
  readonly opened: string
  readonly from: Place
  readonly to: Place
}

/** What an archive says of itself in its first line, signed; the records follow, chain by chain in this order. */
export interface Manifest {
  /** The month, such as 2026-01. */
  readonly name: string
  /** ISO 8601. */
  readonly made: string
  readonly chains: readonly ArchivedChain[]
  /** Id of the key. */
  readonly key: string
}

/** One line of JSON: the manifest with its signature. */
export function signManifest (signer: Signer, { name, made, chains }: Omit<Manifest, 'key'>): string {
  const text = textOf({ name, made, chains, key: signer.key })
  return `${text.slice(0, -1)},"signature":"${sign(null, Buffer.from(text), signer.privateKey).toString('base64url')}"}`
}

/** A manifest that was read, and what its signature is worth; undefined: this is none. */
export function readManifest (line: string, keys: ReadonlyMap<string, KeyObject>): Manifest & { readonly status: 'signed' | 'unknown key' | 'bad signature' } | undefined {
  try {
    const { portcullis, name, made, chains, key, signature } = JSON.parse(line) as Record<string, unknown>
    if (portcullis !== KIND || typeof name !== 'string' || typeof made !== 'string' || typeof key !== 'string' || typeof signature !== 'string' || !Array.isArray(chains) || !chains.every(isChain)) return undefined
    const manifest = { name, made, chains, key }
    const trusted = keys.get(key)
    return { ...manifest, status: trusted === undefined ? 'unknown key' : verify(null, Buffer.from(textOf(manifest)), trusted, Buffer.from(signature, 'base64url')) ? 'signed' : 'bad signature' }
  } catch {
    return undefined
  }
}

const KIND = 'archive/1'

/** The text that is signed: these members in this order. */
function textOf ({ name, made, chains, key }: Manifest): string {
  return JSON.stringify({ portcullis: KIND, name, made, chains: chains.map(({ chain, node, opened, from, to }) => ({ chain, node, opened, from: placeText(from), to: placeText(to) })), key })
}

function placeText ({ seq, hash }: Place): Place {
  return { seq, hash }
}

function isChain (value: unknown): value is ArchivedChain {
  if (typeof value !== 'object' || value === null) return false
  const { chain, node, opened, from, to } = value as Record<string, unknown>
  return typeof chain === 'string' && typeof node === 'string' && typeof opened === 'string' && isPlace(from) && isPlace(to) && from.seq < to.seq
}

function isPlace (value: unknown): value is Place {
  if (typeof value !== 'object' || value === null) return false
  const { seq, hash } = value as Record<string, unknown>
  return Number.isSafeInteger(seq) && typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash)
}
