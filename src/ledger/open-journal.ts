import { holdChain } from '../../db/chain-owners.ts'
import { connectLazily } from '../../db/connect.ts'
import { GroupCommit } from './group-commit.ts'
import type { Journal } from './journal.ts'
import type { LedgerOptions } from './ledger.ts'
import { MemorySupply } from './memory-supply.ts'
import { DirectShipping } from './shipping.ts'
import type { Shipping, ShippingPlan } from './shipping.ts'
import { ThreadedShipping } from './shipping-thread.ts'
import { Spool } from './spool.ts'

/** Where records become durable, and what brings them to the database. */
export interface Opened {
  readonly journal: Journal
  readonly shipping: Shipping
  /** Closes what was opened for the two. */
  disconnect (): Promise<void>
}

/** Its own chain, its sign of life, what earlier processes left and what others did. */
const CONNECTIONS = 4

/** Opens what `audit.durability` asks for. Throws when the spool cannot be written. */
export function openJournal (options: LedgerOptions, plan: ShippingPlan): Opened {
  const { durability } = options.audit
  return durability === 'database' ? openGroupCommit(options, plan) : openSpool(options, plan, durability)
}

function openSpool ({ database, thread, log, io, segmentBytes }: LedgerOptions, plan: ShippingPlan, durability: 'fsync' | 'os'): Opened {
  const shipping = thread === undefined ? new DirectShipping({ ...plan, log, database }) : new ThreadedShipping({ ...plan, log, address: thread })
  const { directory, chain } = plan
  const journal = new Spool({ directory, chain, durability, onProgress: progress => shipping.note(progress), ...(io !== undefined && { io }), ...(segmentBytes !== undefined && { segmentBytes }) })
  return { journal, shipping, disconnect: () => Promise.resolve() }
}

/** In this thread: a call waits for each commit, and a message to another thread and back would come on top. */
function openGroupCommit ({ database, thread, log, audit }: LedgerOptions, plan: ShippingPlan): Opened {
  const own = thread === undefined ? undefined : connectLazily(thread.url, log, CONNECTIONS)
  const supply = new MemorySupply()
  const shipping = new DirectShipping({ ...plan, log, database: own ?? database, unfiled: { supply, onShipped: () => journal.committed() } })
  // Before the chain can be seen, so that nobody takes it for one whose writer is gone.
  const hold = holdChain((own ?? database).pool, plan.chain.id)
  let held = false
  hold.ready.then(() => { held = true; shipping.wake() }, () => {})
  const journal = new GroupCommit({ supply, facts: () => shipping.facts, wake: () => { if (held) shipping.wake() }, patience: audit.maxOutage })
  const disconnect = async (): Promise<void> => {
    hold.close()
    await own?.close()
  }
  return { journal, shipping, disconnect }
}
