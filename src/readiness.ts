import type { Ledger } from './ledger/ledger.ts'
import type { Cells } from './upstreams/cells.ts'

type Check = { readonly ok: true } | { readonly ok: false, readonly reason: string }

export interface Watched {
  readonly ledger: Pick<Ledger, 'status'>
  readonly database: { readonly up: boolean }
  readonly cells: Pick<Cells, 'problems'>
  readonly life: { readonly closing: boolean }
}

/** What must be well for a call to be served. The reasons are public, so they name nothing of this machine. */
export function readiness ({ ledger, database, cells, life }: Watched): Record<string, () => Check | Promise<Check>> {
  return {
    database: () => check(database.up, 'The database cannot be reached.'),
    ledger: () => check(ledger.status.healthy, 'The audit log cannot take records; the log says why.'),
    sandbox: async () => check((await cells.problems()).length === 0, 'The sandbox does not work on this machine; the log says what to do.'),
    shutdown: () => check(!life.closing, 'The gateway is stopping.'),
  }
}

function check (ok: boolean, reason: string): Check {
  return ok ? { ok } : { ok, reason }
}
