import pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'

import { CopyDecoder } from './copy-binary.ts'
import type { TakeRow } from './copy-binary.ts'
import { names } from './migrations/0004_ledger_chain.ts'
import type { Snapshot } from './snapshot.ts'

/** The columns that repeat members of a record's text, in the order in which the text has them. */
export const memberColumns: readonly string[] = names.split(', ')

/** Those that are no text. */
export const numberColumns: ReadonlyMap<string, 'double' | 'bigint'> = new Map([['duration_ms', 'double'], ['bytes_in', 'bigint'], ['bytes_out', 'bigint']])

/** Which field of a row is which. `members` is the first of `memberColumns`. */
export const chainFields = { seq: 0, ts: 1, body: 2, hash: 3, members: 4 } as const

/**
 * Shows the next records after number `after`, up to `head`, at most `rows`, to `row`, as they come: what it cannot keep up with waits in the database.
 * https://www.postgresql.org/docs/current/sql-copy.html
 */
export async function copyChain ({ client }: Snapshot, chain: string, after: number, head: number, rows: number, row: TakeRow): Promise<void> {
  const decoder = new CopyDecoder(chainFields.members + memberColumns.length, row)
  // COPY takes no parameters.
  const [id, ...numbers] = [pg.escapeLiteral(chain), ...[after, head, rows].map(number => number.toFixed(0))]
  const stream = client.query(copyTo(`copy (select seq, ts, body, hash, ${names} from ledger.event
    where chain_id = ${id} and seq > ${numbers[0]} and seq <= ${numbers[1]} order by seq, ts limit ${numbers[2]}) to stdout (format binary)`))
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject)
    stream.on('end', resolve)
    stream.on('data', (chunk: Buffer) => {
      try {
        decoder.take(chunk)
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    })
  })
  decoder.end()
}
