import type { Ledger, LedgerStatus } from './ledger/ledger.ts'
import type { InstanceFacts } from './metrics/sources.ts'
import { instanceFacts } from './upstreams/facts.ts'
import { version } from './version.ts'
import type { Cells } from './upstreams/cells.ts'
import type { UpstreamHealth } from './upstreams/upstream-health.ts'

type Check = ({ readonly ok: true } | { readonly ok: false, readonly reason: string }) & { readonly counts?: Readonly<Record<string, number>> }

export interface Watched {
  readonly ledger: Pick<Ledger, 'status'>
  readonly database: { readonly up: boolean }
  readonly cells: Pick<Cells, 'problems'>
  readonly life: { readonly closing: boolean }
  readonly upstreams: { readonly all: readonly UpstreamHealth[] }
  /** Upstreams without which the gateway is not ready. */
  readonly required: readonly string[]
}

/** What must be well for a call to be served. The reasons are public, so they name nothing of this machine. */
export function readiness ({ ledger, database, cells, life, upstreams, required }: Watched): Record<string, () => Check | Promise<Check>> {
  return {
    database: () => check(database.up, 'The database cannot be reached.'),
    ledger: () => check(ledger.status.healthy, 'The audit log cannot take records; the log says why.'),
    sandbox: async () => check((await cells.problems()).length === 0, 'The sandbox does not work on this machine; the log says what to do.'),
    upstreams: () => ({ ...check(upstreams.all.every((each) => !required.includes(each.upstream) || isServing(each)), 'A server that health.required names is not ready.'), counts: countStates(upstreams.all) }),
    shutdown: () => check(!life.closing, 'The gateway is stopping.'),
  }
}

export interface Shown {
  readonly checks: ReturnType<typeof readiness>
  readonly ledger: Watched['ledger']
  readonly upstreams: Watched['upstreams']
  readonly supervisor: Parameters<typeof instanceFacts>[0]
}

/** The same for the operator alone: every upstream with its reason, and every instance with its owner. */
export function standing ({ checks, ledger, upstreams, supervisor }: Shown): () => Promise<Standing> {
  return async () => ({
    pid: process.pid,
    version,
    checks: Object.fromEntries(await Promise.all(Object.entries(checks).map(async ([name, look]) => [name, await look()] as const))),
    ledger: { lagRecords: ledger.status.lagRecords, leftMs: ledger.status.leftMs },
    upstreams: upstreams.all,
    instances: await instanceFacts(supervisor),
  })
}

export interface Standing {
  /** Of the gateway. */
  readonly pid: number
  readonly version: string
  readonly checks: Readonly<Record<string, Check>>
  readonly ledger: Pick<LedgerStatus, 'lagRecords' | 'leftMs'>
  readonly upstreams: readonly UpstreamHealth[]
  readonly instances: readonly InstanceFacts[]
}

/** What cannot be looked at is not called failed. */
function isServing ({ state }: UpstreamHealth): boolean {
  return state === 'ready' || state === 'unknown'
}

function countStates (all: readonly UpstreamHealth[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { state } of all) counts[state] = (counts[state] ?? 0) + 1
  return counts
}

function check (ok: boolean, reason: string): Check {
  return ok ? { ok } : { ok, reason }
}
