import type { Verdict } from '../egress/decide.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'

export interface EgressTargets {
  readonly log: Log
  readonly ledger: Pick<Ledger, 'append' | 'durable' | 'newRecord'>
  readonly metrics: Pick<Metrics, 'egress'>
}

/** Ids of calls one record names; an instance has more in flight only under load. */
const maxCalls = 64

/** Puts every connection that is asked for on the record; the promise is kept when the record is durable. No record, no connection. */
export function recordEgress ({ log, ledger, metrics }: EgressTargets): (upstream: string, owner: string, verdict: Verdict, calls: readonly string[]) => Promise<void> {
  return async (upstream, owner, verdict, calls) => {
    const { allowed, host, port, address } = verdict
    metrics.egress(upstream, allowed ? 'allowed' : 'denied')
    const reason = allowed ? {} : { reason: verdict.reason }
    if (!allowed) log.warn({ upstream, owner, host, port, ...reason }, 'upstream was refused a connection')
    ledger.append({ kind: 'egress', record: ledger.newRecord(), upstream, target: `${host}:${port}`, decision: allowed ? 'allow' : 'deny', outcome: allowed ? 'ok' : 'refused', detail: { owner, address, ...reason, calls: calls.slice(0, maxCalls) } })
    await new Promise<void>((resolve, reject) => ledger.durable((error) => error === undefined ? resolve() : reject(error)))
  }
}
