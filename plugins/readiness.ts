import type { DatabaseWatch } from '../db/watch.ts'
import type { Ledger } from '../src/ledger/ledger.ts'
import type { Cells } from '../src/upstreams/cells.ts'
import type { HealthOptions } from './health.ts'

/** What must be well for a call to be served. */
export function readiness ({ ledger, watch, cells, closing }: { ledger: Ledger, watch: DatabaseWatch, cells: Cells, closing: () => boolean }): HealthOptions['checks'] {
  return {
    database: () => watch.up ? { ok: true } : { ok: false, reason: 'The database cannot be reached.' },
    ledger: () => ledger.status.healthy ? { ok: true } : { ok: false, reason: 'The audit log cannot take records; the log says why.' },
    sandbox: async () => (await cells.problems()).length === 0 ? { ok: true } : { ok: false, reason: 'The sandbox does not work on this machine; the log says what to do.' },
    shutdown: () => closing() ? { ok: false, reason: 'The gateway is stopping.' } : { ok: true },
  }
}
