import type { Config } from '../config/config.ts'
import { sentenceOf, unpinnedIn } from '../packages/unpinned.ts'
import type { EventTargets } from './events.ts'

/**
 * Says of upstreams whose packages are not pinned, at every start, that there are some, why, and what they may reach: in the
 * log and on the record.
 * @throws Refusal PORTCULLIS_LEDGER_UNAVAILABLE when it cannot be recorded, and then they must not run
 */
export function announceUnpinned (config: Pick<Config, 'upstreams' | 'packages' | 'version'>, { log, ledger }: Pick<EventTargets, 'log' | 'ledger'>): void {
  const { running } = unpinnedIn(config)
  if (running.length === 0) return
  for (const each of running) log.warn({ upstream: each.upstream, reaches: each.reaches }, sentenceOf(each))
  ledger.append({ kind: 'gateway', record: ledger.newRecord(), outcome: 'ok', policy: config.version, detail: { event: 'unpinned', upstreams: running.map(({ upstream, why, reaches }) => ({ upstream, reason: why, reaches })) } })
}
