import type { Attempt } from '../../db/events.ts'
import { jsonOf, printable } from '../printable.ts'
import { cef } from './format-cef.ts'
import { ocsf } from './format-ocsf.ts'

/** How attempts are written down for somebody else's tools: one line each, with nothing in it that a terminal would obey. */
export interface Format {
  /** Goes before the first line. */
  readonly head: string
  line (attempt: Attempt): string
  /** Media type of such lines. */
  readonly type: string
}

const columns = ['time', 'record', 'kind', 'principal_id', 'principal', 'token', 'client', 'session', 'trace', 'source', 'era', 'method', 'upstream', 'tool', 'arguments', 'digest', 'decision', 'rule', 'outcome', 'code', 'duration_ms', 'bytes_in', 'bytes_out', 'policy', 'detail', 'chain_id', 'seq'] as const satisfies readonly (keyof Attempt)[]

export const formats: Readonly<Record<'ndjson' | 'csv' | 'ocsf' | 'cef', Format>> = {
  ndjson: { head: '', type: 'application/x-ndjson', line: attempt => `${jsonOf(attempt)}\n` },
  csv: { head: `${columns.join(',')}\n`, type: 'text/csv', line: attempt => `${columns.map(column => cell(attempt[column])).join(',')}\n` },
  ocsf: { head: '', type: 'application/x-ndjson', line: attempt => `${jsonOf(ocsf(attempt))}\n` },
  cef: { head: '', type: 'text/plain', line: attempt => `${cef(attempt)}\n` },
}

export type FormatName = keyof typeof formats

/** RFC 4180. A spreadsheet takes what begins like a formula for one, so that gets an apostrophe. */
function cell (value: unknown): string {
  if (value === null || value === undefined) return ''
  const text = value instanceof Date ? value.toISOString() : typeof value === 'string' ? value : JSON.stringify(value)
  const safe = printable(typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text)
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
