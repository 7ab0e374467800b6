import type { Database } from '../../db/connect.ts'
import { ownsLedger } from '../../db/retention.ts'

/** Throws an Error that says what to do when this role does not own the ledger. */
export async function mustOwn ({ db }: Pick<Database, 'db'>, what: string): Promise<void> {
  if (!await ownsLedger(db)) throw new Error(`This role may not ${what}: that takes the owner of the database. Run the command with the DATABASE_URL of its owner.`)
}
