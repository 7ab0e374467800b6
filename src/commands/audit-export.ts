import { readFileSync, renameSync, writeFileSync } from 'node:fs'

import type { Command } from 'commander'

import { countAttempts, groupNames } from '../../db/stats.ts'
import type { Group, Stat } from '../../db/stats.ts'
import { cursorOf, exportFrom, readCursor } from '../ledger/export.ts'
import type { Position } from '../ledger/export.ts'
import { formats } from '../ledger/formats.ts'
import type { FormatName } from '../ledger/formats.ts'
import type { AuditCommand } from './audit.ts'
import { readChoice, readTime } from './options.ts'
import { jsonOf, printable } from '../printable.ts'
import { sessionAction } from './session.ts'
import type { CommandContext } from './session.ts'
import { fitted, table } from './table.ts'

/** Adds `stats` and `export` to `portcullis audit`. */
export function exportCommands (audit: Command, context: CommandContext): void {
  audit.command('stats')
    .description('how many calls, how many of them refused or failed, and how long they took')
    .option('--by <what>', `${groupNames.join(', ')} (default tool)`)
    .option('--since <time>', 'such as 2h, 7d or 2026-01-31 (default 24h)')
    .option('--until <time>', 'likewise')
    .option('--json', 'one JSON object a line')
    .addOption(context.configOption())
    .action(sessionAction(context, async (session, options: StatsOptions) => await auditStats(session, options)))
  audit.command('export')
    .description('every attempt, for other tools, oldest first')
    .option('--format <format>', `${Object.keys(formats).join(', ')} (default ndjson)`)
    .option('--since <time>', 'such as 7d or 2026-01-31')
    .option('--until <time>', 'likewise')
    .option('--cursor <file>', 'go on where the last export with this file ended')
    .addOption(context.configOption())
    .action(sessionAction(context, async (session, options: ExportOptions) => await auditExport(session, options)))
}

export interface StatsOptions {
  readonly by?: string | undefined
  readonly since?: string | undefined
  readonly until?: string | undefined
  readonly json?: boolean | undefined
}

const MOST_ROWS = 200

/** `audit stats`. Returns the exit code. Throws an Error that says what to do. */
export async function auditStats ({ database, out }: AuditCommand, options: StatsOptions, now: number = Date.now()): Promise<number> {
  const by = readChoice('--by', options.by, groupNames) as Group | undefined ?? 'tool'
  const since = readTime('--since', options.since ?? '24h', now) ?? new Date(0)
  const rows = await countAttempts(database.db, by, since, readTime('--until', options.until, now) ?? new Date(now), MOST_ROWS)
  if (options.json === true) out(rows.map(row => `${jsonOf({ by, ...row })}\n`).join(''))
  else out(rows.length === 0 ? 'There were no calls in that time.\n' : table([by.toUpperCase(), 'CALLS', 'REFUSED', 'FAILED', 'USERS', 'P50 MS', 'P95 MS', 'BYTES'], rows.map(cellsOf)))
  return 0
}

/** Characters of a name: one that is as long as its server likes must not push the numbers out of sight. */
const WIDEST = 60

function cellsOf ({ name, attempts, refused, failed, users, p50, p95, bytes }: Stat): string[] {
  return [fitted(printable(name), WIDEST), ...[attempts, refused, failed, users].map(String), ...[p50, p95].map(ms => ms === null ? '' : ms.toFixed(1)), String(bytes)]
}

export interface ExportOptions {
  readonly format?: string | undefined
  readonly since?: string | undefined
  readonly until?: string | undefined
  /** A file that says where to begin, and afterwards where it ended. */
  readonly cursor?: string | undefined
}

/**
 * `audit export`: each attempt once it is concluded. The cursor moves behind what was written, so an export that is
 * interrupted repeats some of it at the next run and leaves nothing out. Returns the exit code.
 */
export async function auditExport ({ database, out }: AuditCommand, options: ExportOptions, now: number = Date.now()): Promise<number> {
  const { head, line } = formats[readChoice('--format', options.format, Object.keys(formats)) as FormatName | undefined ?? 'ndjson']
  const from = options.cursor === undefined ? new Map<string, number>() : positionIn(options.cursor)
  const range = { since: readTime('--since', options.since, now), until: readTime('--until', options.until, now) }
  if (from.size === 0) out(head)
  for await (const { attempts, position } of exportFrom(database, from, range)) {
    out(attempts.map(line).join(''))
    if (options.cursor !== undefined) keepPosition(options.cursor, position)
  }
  return 0
}

function positionIn (file: string): Position {
  try {
    return readCursor(readFileSync(file, 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return new Map()
    throw error
  }
}

function keepPosition (file: string, position: Position): void {
  writeFileSync(`${file}.new`, `${cursorOf(position)}\n`)
  renameSync(`${file}.new`, file)
}
