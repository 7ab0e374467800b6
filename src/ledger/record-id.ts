import { randomBytes } from 'node:crypto'

/** 36^6: from here on a counter has seven base-36 digits for 76 thousand million records. */
const FIRST = 2_176_782_336

/** A source of record ids: sortable by time of the source's creation, then by order; unique across processes; no randomness per id. */
export function createRecordIds (startedAt: number = Date.now()): () => string {
  const prefix = startedAt.toString(36) + '-' + randomBytes(3).toString('hex') + '-'
  let next = FIRST
  return () => prefix + (next++).toString(36)
}
