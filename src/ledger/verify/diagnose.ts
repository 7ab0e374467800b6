import type { SuspectRow } from '../../../db/chain-rows.ts'
import { linkHash } from '../hash-chain.ts'
import type { Tip } from '../hash-chain.ts'
import type { Finding, Flaw } from './finding.ts'

type Found = (flaw: Flaw, text: string, seq?: number, record?: string) => Finding

/** Names what is wrong with the first record that does not follow on `tip`; undefined when all of them do. */
export function diagnose (tip: Tip, rows: readonly SuspectRow[], found: Found, gap?: { readonly after: number, readonly before: number }): Finding | undefined {
  let { seq, hash } = tip
  for (const [index, row] of rows.entries()) {
    const where = `Record ${row.seq} (${row.record}, ${timeOf(row)})`
    if (row.seq === seq) return found('duplicated', `${where} is there twice.`, row.seq, row.record)
    if (row.seq > seq + 1) {
      const noted = gap?.after === seq ? ' The gateway noted this gap when the database was set back to an older backup.' : ''
      return found('missing', `${span(seq + 1, row.seq - 1)} missing before ${row.record} (${timeOf(row)}).${noted}`, seq + 1)
    }
    if (row.hash === null || !linkHash(hash, row.body).equals(row.hash)) {
      const other = rows.slice(index + 1).find(later => follows(hash, later, row))
      if (other !== undefined) return found('reordered', `${where} and record ${other.seq} (${other.record}) have changed places.`, row.seq, row.record)
      return found('edited', `${where} was changed, or another was put in its place: its text does not fit its hash.`, row.seq, row.record)
    }
    if (!row.asWritten) return found('edited', `${where} was changed in its columns: they do not say what its text says.`, row.seq, row.record)
    seq = row.seq
    hash = row.hash
  }
  return undefined
}

/** Whoever can change a time can make it one that no clock shows. */
function timeOf ({ ts }: SuspectRow): string {
  return Number.isFinite(Number(ts)) ? new Date(ts).toISOString() : 'at no time that can be told'
}

/** A later record that belongs here: it was moved with its hash, or without. */
function follows (hash: Buffer, later: SuspectRow, here: SuspectRow): boolean {
  const link = linkHash(hash, later.body)
  return (later.hash !== null && link.equals(later.hash)) || (here.hash !== null && link.equals(here.hash))
}

function span (first: number, last: number): string {
  return first === last ? `Record ${first} is` : `Records ${first} to ${last} are`
}
