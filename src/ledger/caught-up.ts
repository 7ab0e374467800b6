import type { Log } from '../log.ts'
import type { Ledger } from './ledger.ts'

const mostMs = 10_000

/** Waits, for a while, until what an earlier process left in its spool is in the database: counters are restored from there. */
export async function caughtUp (ledger: Pick<Ledger, 'caughtUp'>, log: Pick<Log, 'warn'>): Promise<void> {
  const late = new Promise<'late'>((resolve) => { setTimeout(resolve, mostMs, 'late').unref() })
  if (await Promise.race([ledger.caughtUp, late]) === 'late') log.warn('records of an earlier process are still on their way to the database; limits may count too little')
}
