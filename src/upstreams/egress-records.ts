import type { Ending } from '../egress/connection.ts'
import type { Verdict } from '../egress/decide.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'

export interface EgressTargets {
  readonly log: Log
  readonly ledger: Pick<Ledger, 'append' | 'durable' | 'newRecord'>
  readonly metrics: Pick<Metrics, 'egress'>
}

/** Puts a connection of an instance on the record; `calls` are the records of what the instance works on. */
export type RecordEgress = (upstream: string, owner: string, verdict: Verdict, calls: readonly string[]) => Promise<(ending: Ending) => void>

/** Ids of calls one record names; an instance has more in flight only under load. */
const maxCalls = 64

/**
 * Puts every connection that is asked for on the record; the promise is kept when the record is durable. No record, no
 * connection. What came of an allowed one is a second record of the same id: of one without it, nobody knows.
 */
export function recordEgress ({ log, ledger, metrics }: EgressTargets): RecordEgress {
  return async (upstream, owner, verdict, calls) => {
    const { allowed, host, port, address } = verdict
    metrics.egress(upstream, allowed ? 'allowed' : 'denied')
    const refusal = allowed ? {} : { reason: verdict.reason }
    if (!allowed) log.warn({ upstream, owner, host, port, ...refusal }, 'upstream was refused a connection')
    const record = ledger.newRecord()
    ledger.append({ kind: 'egress', record, upstream, target: `${host}:${port}`, decision: allowed ? 'allow' : 'deny', ...(allowed ? {} : { outcome: 'refused' }), detail: { owner, address, ...refusal, calls: calls.slice(0, maxCalls) } })
    const begun = performance.now()
    const conclude = (ending: Ending): void => {
      try {
        if (allowed) ledger.append({ kind: 'outcome', record, durationMs: performance.now() - begun, ...ending }, { force: true })
      } catch (error) {
        log.warn({ upstream, record, err: error }, 'the end of a connection could not be recorded')
      }
    }
    try {
      await durable(ledger)
    } catch (error) {
      conclude({ outcome: 'cancelled', bytesIn: 0, bytesOut: 0 })
      throw error
    }
    return conclude
  }
}

function durable (ledger: Pick<Ledger, 'durable'>): Promise<void> {
  return new Promise((resolve, reject) => ledger.durable((error) => error === undefined ? resolve() : reject(error)))
}
