import type { Verdict } from '../egress/decide.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Instance } from './instance.ts'
import type { SupervisorEvents } from './starter.ts'

export interface EventTargets {
  readonly log: Log
  readonly ledger: Pick<Ledger, 'append' | 'durable' | 'newRecord'>
  readonly metrics: Pick<Metrics, 'restart' | 'noise' | 'dropped' | 'egress' | 'stderr'>
  readonly onNotification: SupervisorEvents['notification']
  readonly onStarted: (instance: Instance) => void
}

/** Ids of calls one record names; an instance has more in flight only under load. */
const maxCalls = 64

/** What happens to instances, told to the log, the metrics and the ledger. */
export function supervisorEvents ({ log, ledger, metrics, onNotification, onStarted }: EventTargets): SupervisorEvents {
  return {
    notification: onNotification,
    started (instance, milliseconds) {
      const { upstream, owner, era, cell } = instance
      log.info({ upstream, owner, era, pid: cell.pid, milliseconds, ...(cell.lacks === undefined ? {} : { lacks: cell.lacks }) }, 'upstream started')
      note(upstream, owner, 'ok', { event: 'start', era, pid: cell.pid, milliseconds })
      onStarted(instance)
    },
    exited ({ upstream, owner, cell }, { code, signal, reason, detail }, expected) {
      const how = { pid: cell.pid, exit: signal ?? `code ${code}`, reason, detail }
      if (expected) log.info({ upstream, owner, ...how }, 'upstream stopped')
      else {
        log.warn({ upstream, owner, ...how }, reason === undefined ? 'upstream exited by itself' : 'upstream was ended')
        metrics.restart(upstream, reason ?? 'exit')
      }
      note(upstream, owner, expected ? 'ok' : 'crashed', { event: 'exit', ...how })
    },
    failed (upstream, owner, reason) {
      log.error({ upstream, owner, reason }, 'upstream did not start')
      metrics.restart(upstream, 'start')
      note(upstream, owner, 'error', { event: 'start', reason: reason.slice(0, 500) })
    },
    noise (upstream, line) {
      metrics.noise(upstream)
      log.debug({ upstream, line: line.toString('utf8', 0, 200) }, 'upstream wrote a line that is not JSON-RPC')
    },
    dropped (upstream, reason) {
      metrics.dropped(upstream, reason)
      log.debug({ upstream, reason }, 'message from upstream dropped')
    },
    egress,
    stderr (upstream, owner, line, level) {
      metrics.stderr(upstream, level)
      log[level]({ upstream, owner, line }, 'upstream stderr')
    },
  }

  /** No record, no connection. */
  function egress (upstream: string, owner: string, verdict: Verdict, calls: readonly string[]): Promise<void> {
    const { allowed, host, port, address } = verdict
    metrics.egress(upstream, allowed ? 'allowed' : 'denied')
    const reason = allowed ? {} : { reason: verdict.reason }
    if (!allowed) log.warn({ upstream, owner, host, port, ...reason }, 'upstream was refused a connection')
    ledger.append({ kind: 'egress', record: ledger.newRecord(), upstream, target: `${host}:${port}`, decision: allowed ? 'allow' : 'deny', outcome: allowed ? 'ok' : 'refused', detail: { owner, address, ...reason, calls: calls.slice(0, maxCalls) } })
    return new Promise((resolve, reject) => ledger.durable((error) => error === undefined ? resolve() : reject(error)))
  }

  /** A ledger that is away does not keep an instance from starting: its calls are refused anyway. */
  function note (upstream: string, owner: string, outcome: 'ok' | 'error' | 'crashed', detail: object): void {
    try {
      ledger.append({ kind: 'upstream', record: ledger.newRecord(), upstream, outcome, detail: { owner, ...detail } })
    } catch (error) {
      log.warn({ upstream, err: error }, 'an event of an upstream could not be recorded')
    }
  }
}
