import type { Ledger } from '../ledger/ledger.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { scriptsOf } from '../packages/pin.ts'
import type { PackageEvents } from './cells.ts'
import { recordEgress } from './egress-records.ts'
import type { Instance } from './instance.ts'
import type { Cut } from './offer.ts'
import type { SupervisorEvents } from './starter.ts'

export interface EventTargets {
  readonly log: Log
  readonly ledger: Pick<Ledger, 'append' | 'durable' | 'newRecord'>
  readonly metrics: Pick<Metrics, 'restart' | 'noise' | 'dropped' | 'egress' | 'stderr'>
  readonly onNotification: SupervisorEvents['notification']
  readonly onStarted: (instance: Instance) => void
  readonly isWatched: SupervisorEvents['isWatched']
}

/** What happens to instances, told to the log, the metrics and the ledger. */
export function supervisorEvents ({ log, ledger, metrics, onNotification, onStarted, isWatched }: EventTargets): SupervisorEvents {
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
    cut (upstream, owner, list, items, why) {
      log.warn({ upstream, owner, list, items }, cuts[why])
    },
    egress: recordEgress({ log, ledger, metrics }),
    isWatched,
    stderr (upstream, owner, line, level) {
      metrics.stderr(upstream, level)
      log[level]({ upstream, owner, line }, 'upstream stderr')
    },
  }

  function note (upstream: string, owner: string, outcome: 'ok' | 'error' | 'crashed', detail: object): void {
    noteUpstream({ log, ledger }, upstream, outcome, { owner, ...detail })
  }
}

/** What installing packages tells: every connection is on the record before it is made, and so is what is pinned. */
export function packageEvents ({ log, ledger, metrics }: Pick<EventTargets, 'log' | 'ledger' | 'metrics'>): PackageEvents {
  const egress = recordEgress({ log, ledger, metrics })
  return {
    egress: (upstream, verdict) => egress(upstream, installer, verdict, []),
    pinned (upstream, { wanted, version, digest, plan }) {
      const scripts = scriptsOf(plan)
      log.info({ upstream, package: wanted, version, digest }, 'package pinned: from now on it is this one, until portcullis pin --approve')
      if (scripts.length > 0) log.warn({ upstream, packages: scripts }, 'packages want to run scripts when they are installed; none was run, so they may not work')
      noteUpstream({ log, ledger }, upstream, 'ok', { event: 'pin', package: wanted, version, digest })
    },
    unpinned ({ upstream, why, reaches }) {
      ledger.append({ kind: 'upstream', record: ledger.newRecord(), upstream, outcome: 'ok', detail: { event: 'unpinned', digest: null, reason: why, reaches } })
    },
  }
}

const cuts: Readonly<Record<Cut, string>> = {
  long: 'the list of the upstream is too long: what comes after these items is not offered',
  deep: 'some of what the upstream lists is nested too deeply: only the other items are offered',
}

/** The owner in records of an installation: no user's. */
const installer = 'install'

/** A ledger that is away does not keep an instance from starting: its calls are refused anyway. */
function noteUpstream ({ log, ledger }: Pick<EventTargets, 'log' | 'ledger'>, upstream: string, outcome: 'ok' | 'error' | 'crashed', detail: object): void {
  try {
    ledger.append({ kind: 'upstream', record: ledger.newRecord(), upstream, outcome, detail })
  } catch (error) {
    log.warn({ upstream, err: error }, 'an event of an upstream could not be recorded')
  }
}
