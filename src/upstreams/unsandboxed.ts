import { unsandboxed } from '../config/backend.ts'
import type { Config } from '../config/config.ts'
import type { EventTargets } from './events.ts'

type Targets = Pick<EventTargets, 'log' | 'ledger'> & { readonly metrics: { watch (sources: { unsandboxed (): number }): void } }

/**
 * Says of upstreams without a sandbox, at every start, that there are some: in the log, on the record and in the metrics.
 * @throws Refusal PORTCULLIS_LEDGER_UNAVAILABLE when it cannot be recorded, and then they must not run
 */
export function announceUnsandboxed (config: Pick<Config, 'upstreams' | 'version'>, { log, ledger, metrics }: Targets): void {
  const upstreams = unsandboxed(config)
  metrics.watch({ unsandboxed: () => upstreams.length })
  if (upstreams.length === 0) return
  log.warn({ upstreams }, 'upstreams run WITHOUT a sandbox: they may do everything the user of the gateway may')
  ledger.append({ kind: 'gateway', record: ledger.newRecord(), outcome: 'ok', policy: config.version, detail: { event: 'unsandboxed', upstreams, allowedBy: '--allow-unsandboxed' } })
}
