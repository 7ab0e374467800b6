import type { Attempt } from '../ledger/query.ts'
import { jsonOf, printable } from '../printable.ts'
import { fitted } from './table.ts'

/** Prints attempts as they come, one a line: as JSON, or as rows of a table, whose head goes before the first. */
export function attemptPrinter (out: (text: string) => void, json: boolean): (attempts: readonly Attempt[]) => void {
  if (json) return attempts => out(attempts.map(attempt => `${jsonOf(attempt)}\n`).join(''))
  let head = false
  return attempts => {
    if (!head && attempts.length > 0) out(rowOf(COLUMNS.map(([name]) => name)))
    head ||= attempts.length > 0
    out(attempts.map(attempt => rowOf(COLUMNS.map(([, , cell]) => printable(cell(attempt) ?? '')))).join(''))
  }
}

/** Widths are fixed, since more rows may follow; `audit show` and `--json` have what does not fit. */
const COLUMNS: readonly (readonly [head: string, width: number, cell: (attempt: Attempt) => string | null])[] = [
  ['TIME', 23, ({ time }) => time.toISOString().replace('T', ' ').slice(0, 23)],
  ['RECORD', 26, ({ record }) => record],
  ['USER', 20, ({ principal, source }) => principal ?? source],
  ['WHAT', 40, (attempt) => whatOf(attempt)],
  ['OUTCOME', 10, ({ outcome, decision }) => outcome ?? decision],
  ['MS', 8, ({ duration_ms: ms }) => ms === null ? '' : String(Math.round(ms * 10) / 10)],
  ['WHY', 160, (attempt) => whyOf(attempt)],
]

function whatOf ({ kind, method, upstream, tool }: Attempt): string {
  if (tool !== null) return `${upstream ?? '?'}/${tool}`
  return [kind === 'call' || kind === 'refusal' ? '' : kind, method, upstream].filter(part => part !== null && part !== '').join(' ')
}

/** Members of a detail that say why, or what it was, in the order in which a person reads them. */
const TELLING = ['event', 'action', 'user', 'exit', 'reason', 'detail', 'refusal'] as const

/** The code and the rule, else what only the detail has: why a server ended, why a connection was refused, or for which call it was made. */
function whyOf ({ code, rule, detail }: Attempt): string {
  const facts = typeof detail === 'object' && detail !== null ? detail as Readonly<Record<string, unknown>> : {}
  const told = TELLING.map(name => facts[name])
  const calls = Array.isArray(facts['calls']) && facts['calls'].length > 0 ? `for ${facts['calls'].join(', ')}` : ''
  return [code, rule, ...told, calls].filter(part => typeof part === 'string' && part !== '').join(' ')
}

function rowOf (cells: readonly string[]): string {
  return `${cells.map((cell, column) => fitted(cell, COLUMNS[column]?.[1] ?? 0).padEnd(COLUMNS[column]?.[1] ?? 0)).join('  ').trimEnd()}\n`
}
