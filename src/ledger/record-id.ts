import { randomBytes } from 'node:crypto'

/** Two base-36 digits, in order: what the end of an id is taken from, since the digits of a large number take long to find. */
const PAIRS = Array.from({ length: 36 * 36 }, (_, n) => n.toString(36).padStart(2, '0'))

/** 36^4: from here on a counter of pairs has seven base-36 digits for 76 thousand million records. */
const FIRST = 1_679_616

/** A source of record ids: sortable by time of the source's creation, then by order; unique across processes; no randomness per id. */
export function createRecordIds (startedAt: number = Date.now()): () => string {
  const prefix = startedAt.toString(36) + '-' + randomBytes(3).toString('hex') + '-'
  let stem = prefix + FIRST.toString(36)
  let stems = FIRST
  let next = 0
  return () => {
    if (next === PAIRS.length) {
      next = 0
      stem = prefix + (++stems).toString(36)
    }
    return stem + (PAIRS[next++] ?? '')
  }
}
