import { hash } from 'node:crypto'

import type { Chain } from './segment.ts'

/** How far a chain is known: number of a record, and the hash that stands for it and everything before it. */
export interface Tip {
  readonly seq: number
  readonly hash: Buffer
}

/** Bytes of one hash (SHA-256). */
export const HASH_BYTES = 32

/** The hash before the first record. It names the chain, so that records of one chain never fit another. */
export function genesisOf ({ id, node, openedAt }: Chain): Buffer {
  return hash('sha256', `portcullis ledger\n${id}\n${node}\n${openedAt.toISOString()}`, 'buffer')
}

/**
 * hash(n) = SHA-256(hash(n - 1) ‖ SHA-256(record n)). A record goes in by its digest, so that a proof about one record
 * need not disclose the others.
 */
export function linkHash (previous: Buffer, record: Buffer | string): Buffer {
  return linkDigest(previous, digestOf(record))
}

/** SHA-256 of a record as it was written. */
export function digestOf (record: Buffer | string): Buffer {
  return hash('sha256', record, 'buffer')
}

export function linkDigest (previous: Buffer, digest: Buffer): Buffer {
  previous.copy(pair, 0)
  digest.copy(pair, HASH_BYTES)
  return hash('sha256', pair, 'buffer')
}

const pair = Buffer.alloc(2 * HASH_BYTES)

/** The hashes of newline-separated records that follow on `previous`, which goes first; all in one buffer. */
export function hashesOf (previous: Buffer, lines: Buffer): Buffer {
  const hashes = [previous]
  let latest = previous
  for (let start = 0; start < lines.length;) {
    const newline = lines.indexOf(10, start)
    const end = newline < 0 ? lines.length : newline
    latest = linkHash(latest, lines.subarray(start, end))
    hashes.push(latest)
    start = end + 1
  }
  return Buffer.concat(hashes)
}
