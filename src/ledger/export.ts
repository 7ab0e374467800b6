import type { Database } from '../../db/connect.ts'
import { concludedBetween } from '../../db/events.ts'
import type { Attempt } from '../../db/events.ts'
import { chainExtents, lastBefore } from '../../db/export.ts'
import type { ChainExtent } from '../../db/export.ts'

/** How far somebody has read: number of the last record of each chain. */
export type Position = ReadonlyMap<string, number>

export interface ExportRange {
  readonly since?: Date | undefined
  readonly until?: Date | undefined
}

export interface ExportPage {
  readonly attempts: readonly Attempt[]
  /** Where to go on once these attempts are safe. */
  readonly position: Position
}

const PAGE = 1_000

/**
 * Attempts behind `from`, each once it is concluded (a call with its outcome), page by page, chain by chain. Not by
 * time: records reach the database late when it was away, and those would be passed over.
 */
export async function * exportFrom ({ db }: Pick<Database, 'db'>, from: Position, range: ExportRange = {}): AsyncGenerator<ExportPage, void, undefined> {
  const position = new Map(from)
  for (const extent of await chainExtents(db, range.since)) {
    let after = position.get(extent.chain) ?? await firstOf(db, extent, range.since)
    while (after < extent.head) {
      const end = Math.min(extent.head, after + PAGE)
      const attempts = await concludedBetween(db, extent.chain, after, end)
      position.set(extent.chain, end)
      after = end
      yield { attempts: attempts.filter(attempt => isWithin(attempt, range)), position: new Map(position) }
    }
  }
}

async function firstOf (db: Database['db'], { chain, pruned }: ChainExtent, since: Date | undefined): Promise<number> {
  return since === undefined ? pruned : Math.max(pruned, await lastBefore(db, chain, since))
}

function isWithin ({ time }: Attempt, { since, until }: ExportRange): boolean {
  return (since === undefined || time >= since) && (until === undefined || time < until)
}

/** A position as one word. */
export function cursorOf (position: Position): string {
  return Buffer.from(JSON.stringify(Object.fromEntries(position))).toString('base64url')
}

/** Throws an Error when the text is no cursor. */
export function readCursor (text: string): Position {
  try {
    const read = JSON.parse(Buffer.from(text.trim(), 'base64url').toString()) as Record<string, unknown>
    const entries = Object.entries(read)
    if (entries.every((entry): entry is [string, number] => Number.isSafeInteger(entry[1]))) return new Map(entries)
  } catch {
    // It is not one, as below.
  }
  throw new Error(`${JSON.stringify(text.slice(0, 40))} is not a cursor of \`portcullis audit export\`.`)
}
