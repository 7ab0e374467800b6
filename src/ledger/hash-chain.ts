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
  const hashes = Buffer.allocUnsafe((1 + countLines(lines)) * HASH_BYTES)
  previous.copy(hashes)
  let at = HASH_BYTES
  for (let start = 0; start < lines.length; at += HASH_BYTES) {
    const end = endOfLine(lines, start)
    hashes.copy(pair, 0, at - HASH_BYTES, at)
    // As latin1 text: a buffer for each hash takes longer than the hash.
    pair.write(hash('sha256', lines.subarray(start, end), 'binary'), HASH_BYTES, 'latin1')
    hashes.write(hash('sha256', pair, 'binary'), at, 'latin1')
    start = end + 1
  }
  return hashes
}

function countLines (lines: Buffer): number {
  let count = 0
  for (let start = 0; start < lines.length; start = endOfLine(lines, start) + 1) count++
  return count
}

function endOfLine (lines: Buffer, start: number): number {
  const newline = lines.indexOf(10, start)
  return newline < 0 ? lines.length : newline
}
