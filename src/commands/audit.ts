import type { Database } from '../../db/connect.ts'
import { nearest } from '../config/nearest.ts'
import { refusals } from '../errors.ts'
import { kinds } from '../ledger/entry.ts'
import { follow, markEnd, search, show } from '../ledger/query.ts'
import type { Attempt, AttemptFilter, StoredEvent } from '../ledger/query.ts'
import { attemptPrinter } from './audit-table.ts'
import { readChoice, readTime } from './options.ts'
import { jsonOf, printable } from '../printable.ts'
import { UsageError } from './usage-error.ts'

export interface AuditCommand {
  readonly database: Pick<Database, 'db'>
  /** Writes text, newline included. */
  readonly out: (text: string) => void
}

export interface TailOptions {
  /** How many of the newest; 20 when left out. */
  readonly lines?: string | undefined
  /** Goes on until `signal`. */
  readonly follow?: boolean | undefined
  readonly json?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** `audit tail`: the newest attempts, oldest of them first. Returns the exit code. Throws an Error that says what to do. */
export async function auditTail ({ database, out }: AuditCommand, { lines, follow: goOn, json, signal }: TailOptions): Promise<number> {
  const print = attemptPrinter(out, json === true)
  // The mark is set first, so that what comes in meanwhile is not lost; `shown` keeps it from being shown twice.
  const mark = goOn === true ? await markEnd(database) : undefined
  const newest = (await search(database, {}, readCount('--lines', lines, 20))).reverse()
  const shown = new Set(newest.filter(({ outcome }) => outcome !== 'in_flight').map(identify))
  print(newest)
  if (mark === undefined) return 0
  for await (const attempt of follow(database, mark, signal ?? new AbortController().signal)) {
    if (!shown.delete(identify(attempt))) print([attempt])
  }
  return 0
}

export interface SearchOptions {
  readonly user?: string | undefined
  readonly upstream?: string | undefined
  readonly tool?: string | undefined
  readonly kind?: string | undefined
  readonly outcome?: string | undefined
  readonly decision?: string | undefined
  /** Of a refusal, of an upstream's error, or of the system's. */
  readonly code?: string | undefined
  /** `2h` (ago) or a date. */
  readonly since?: string | undefined
  readonly until?: string | undefined
  readonly text?: string | undefined
  readonly limit?: string | undefined
  readonly json?: boolean | undefined
}

/** `audit search`: the attempts that match, newest first. Returns the exit code. Throws an Error that says what to do. */
export async function auditSearch ({ database, out }: AuditCommand, options: SearchOptions, now: number = Date.now()): Promise<number> {
  const limit = readCount('--limit', options.limit, 100)
  const found = await search(database, readFilter(options, now), limit)
  attemptPrinter(out, options.json === true)(found)
  if (options.json === true) return 0
  if (found.length === 0) out('Nothing matches.\n')
  else if (found.length === limit) out(`Only the newest ${limit} are shown. There may be more: --limit, --until ${found.at(-1)?.time.toISOString()}\n`)
  return 0
}

/** `audit show`: everything about one attempt. Returns the exit code: 1 when there is no such record. */
export async function auditShow ({ database, out }: AuditCommand, record: string, { json }: { readonly json?: boolean | undefined } = {}): Promise<number> {
  const found = await show(database, record)
  if (found === undefined) {
    out(json === true ? `${jsonOf({ error: 'no such record', record })}\n` : `There is no record ${printable(record)}. A record that was written a moment ago may still be on its way to the database; list the newest with \`portcullis audit tail\`.\n`)
    return 1
  }
  out(json === true ? `${jsonOf({ ...found.attempt, events: found.events.map(parsed) })}\n` : describe(found.attempt, found.events))
  return 0
}

const OUTCOMES = ['ok', 'tool_error', 'error', 'timeout', 'cancelled', 'crashed', 'refused', 'unknown', 'in_flight']
const DECISIONS = ['allow', 'deny']
/** What came of an attempt is found with the attempt. */
const KINDS = kinds.filter(kind => kind !== 'outcome' && kind !== 'recovered')

function readFilter (options: SearchOptions, now: number): AttemptFilter {
  const { user, upstream, tool, text } = options
  return {
    user,
    upstream,
    tool,
    text,
    kind: readChoice('--kind', options.kind, KINDS),
    code: readCode(options.code),
    outcome: readChoice('--outcome', options.outcome, OUTCOMES),
    decision: readChoice('--decision', options.decision, DECISIONS),
    since: readTime('--since', options.since, now),
    until: readTime('--until', options.until, now),
  }
}

/** Codes of refusals are in one table; upstreams have numbers for their errors, and the system has words (ECONNREFUSED). */
function readCode (text: string | undefined): string | undefined {
  if (text === undefined || text in refusals) return text
  const codes = Object.keys(refusals)
  const isForeign = /^(-?\d+|[A-Z][A-Z0-9_]*)$/.test(text) && !text.startsWith('PORTCULLIS_')
  const near = codes.find(code => code === `PORTCULLIS_${text}`) ?? nearest(text, codes)
  if (isForeign && near === undefined) return text
  throw new UsageError(`--code ${JSON.stringify(text)} is no code of a refusal (docs/errors.md has them all), of an upstream's error (such as -32602) or of the system's (such as ECONNREFUSED).${near === undefined ? '' : ` Did you mean ${near}?`}`)
}

function readCount (flag: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`${flag} ${JSON.stringify(text)} is not a number from 1 to 999999.`)
  return Number(text)
}

function identify ({ chain_id: chain, seq }: Attempt): string {
  return `${chain}/${seq}`
}

function describe (attempt: Attempt, events: readonly StoredEvent[]): string {
  const width = Math.max(...Object.keys(attempt).map(name => name.length))
  const facts = Object.entries(attempt).filter(([, value]) => value !== null).map(([name, value]) => `${name.padEnd(width)}  ${printable(textOf(value))}\n`)
  const history = events.map(({ time, kind, chain_id: chain, seq, body }) => `  ${time.toISOString()}  ${printable(kind)}  ${chain}/${seq}\n    ${printable(body)}\n`)
  return `${facts.join('')}\nas written:\n${history.join('')}`
}

function textOf (value: unknown): string {
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function parsed ({ body, ...event }: StoredEvent): object {
  return { ...event, body: JSON.parse(body) as unknown }
}
