import type { Database } from '../../../db/connect.ts'
import type { Config } from '../../config/config.ts'
import { openSecrets } from '../../config/secrets.ts'
import { ledgerSeed } from '../../ledger/keys.ts'
import { openLedger } from '../../ledger/ledger.ts'
import { createLogger } from '../../log.ts'
import { createMetrics } from '../../metrics/metrics.ts'
import type { Standing } from '../../readiness.ts'
import { openCells } from '../../upstreams/cells.ts'
import { packageEvents, supervisorEvents } from '../../upstreams/events.ts'
import { Supervisor } from '../../upstreams/supervisor.ts'
import type { UpstreamHealth, UpstreamState } from '../../upstreams/upstream-health.ts'
import { UpstreamWatch } from '../../upstreams/watch.ts'
import { version } from '../../version.ts'
import { ago, mebibytes } from './finding.ts'
import type { Finding } from './finding.ts'
import { mostTelling } from './telling.ts'

/** As the running gateway knows them: it looks at them all the time, and a second process of each would only disturb. */
export function upstreamsOf ({ upstreams, instances }: Standing): Finding[] {
  return upstreams.map((health) => {
    const own = instances.filter(({ upstream, state }) => upstream === health.upstream && state === 'ready')
    const use = own.length === 0 ? 'No instance is up.' : `${own.length} up, ${mebibytes(own.reduce((sum, { rssBytes }) => sum + rssBytes, 0))}, ${own.reduce((sum, { openFiles }) => sum + openFiles, 0)} open files.`
    return findingOf(health, 'gateway', { use, failing: 'Its standard error is in the log of the gateway (`upstream stderr`).' })
  })
}

/** Starts each as the gateway would, asks for its list and ends it. What it does is on the record, as everything a server does. */
export async function tryUpstreams (config: Config, database: Database): Promise<Finding[]> {
  const log = createLogger({ level: 'silent' })
  const metrics = createMetrics({ version, process: false })
  const ledger = openLedger({ data: config.data, database, seed: ledgerSeed(config.data), audit: config.audit, log })
  const cells = openCells(config, packageEvents({ log, ledger, metrics }))
  const watch = new UpstreamWatch({ ...config, health: { ...config.health, probe: true } }, openSecrets(config.data))
  const said = new Map<string, string[]>()
  const events = supervisorEvents({ log, ledger, metrics, onNotification: () => {}, onStarted: () => {}, isWatched: () => false })
  const supervisor = new Supervisor(config, cells.spawn, watch.hearing({
    ...events,
    stderr: (upstream, _owner, line) => { said.set(upstream, [...(said.get(upstream) ?? []), line].slice(-linesKept)) },
  }))
  try {
    await watch.lookOnce(supervisor)
    return watch.all.map((health) => findingOf(health, 'doctor', { use: '', failing: said.has(health.upstream) ? `It said: ${mostTelling(said.get(health.upstream) ?? [])}` : 'It said nothing on standard error.' }))
  } finally {
    await watch.close()
    await supervisor.close(0)
    await cells.close()
    await ledger.close()
  }
}

/** A stack may come after what was the matter. */
const linesKept = 100

const gravity: Readonly<Record<UpstreamState, Finding['state']>> = { ready: 'ok', empty: 'warning', failing: 'failed', untried: 'warning', unknown: 'warning' }
const remedies: Readonly<Record<Exclude<UpstreamState, 'ready' | 'failing'>, string>> = {
  empty: 'It may lack an argument, a right or a credential: clients see a server without tools.',
  untried: 'Run this again in a moment.',
  unknown: 'Call it as a user, then run this again.',
}

function findingOf ({ upstream, state, reason, listed }: UpstreamHealth, by: Finding['by'], { use, failing }: { readonly use: string, readonly failing: string }): Finding {
  const list = listed === undefined ? undefined : `${listed.tools} tools in ${Math.max(1, Math.round(listed.milliseconds))} ms, ${listed.era === 'legacy' ? 'session era' : '2026-07-28'}${by === 'gateway' ? `, ${ago(Date.now() - listed.at)} ago` : ''}.`
  const text = [reason ?? list ?? 'It has not been looked at yet.', use].filter((part) => part !== '').join(' ')
  return { part: `upstream ${upstream}`, state: gravity[state], text, by, ...(state === 'ready' ? {} : { remedy: state === 'failing' ? failing : remedies[state] }) }
}
