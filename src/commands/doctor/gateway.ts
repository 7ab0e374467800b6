import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../config/config.ts'
import { isOwned, listSegments } from '../../ledger/segment.ts'
import type { Standing } from '../../readiness.ts'
import { failed, ok, warning } from './finding.ts'
import type { Finding } from './finding.ts'

/** The gateway that uses this data directory, as far as it answers; `isRunning` also when it does not. */
export interface Asked { readonly isRunning: boolean, readonly standing: Standing | undefined, readonly findings: readonly Finding[] }

const patienceMs = 5_000

/** Asks the listener for the operator, beside the metrics. Nothing that the gateway does depends on it. */
export async function askGateway ({ metrics, data }: Pick<Config, 'metrics' | 'data'>): Promise<Asked> {
  const url = `http://${metrics.host.includes(':') ? `[${metrics.host}]` : metrics.host}:${metrics.port}/readyz`
  const standing = await ask(url)
  const owner = ownerOf(data)
  if (standing === undefined) {
    return owner === undefined
      ? { isRunning: false, standing, findings: [ok('gateway', `None runs here: nothing answers at ${url}, and nobody uses ${data}.`)] }
      : { isRunning: true, standing, findings: [warning('gateway', `Process ${owner} uses ${data}, and nothing answers at ${url}, so it could not be asked.`, 'If that is a gateway, its log says whether METRICS_PORT was taken; set the METRICS_HOST and METRICS_PORT it runs with.')] }
  }
  const unwell = Object.entries(standing.checks).flatMap(([name, check]) => check.ok ? [] : [`${name}: ${check.reason}`])
  const text = `Process ${standing.pid}, version ${standing.version}, was asked at ${url}`
  const finding = unwell.length === 0
    ? ok('gateway', `${text}: it is ready.`, { by: 'gateway' })
    : failed('gateway', `${text}: it is not ready. ${unwell.join(' ')}`, 'See the lines below.', { by: 'gateway' })
  return { isRunning: true, standing, findings: [finding] }
}

async function ask (url: string): Promise<Standing | undefined> {
  try {
    const answer = await (await fetch(url, { signal: AbortSignal.timeout(patienceMs) })).json() as Partial<Standing> | null
    return Array.isArray(answer?.upstreams) && Array.isArray(answer.instances) ? answer as Standing : undefined
  } catch {
    return undefined
  }
}

/** The living process that writes the spool. */
function ownerOf (data: string): number | undefined {
  const directory = join(data, 'ledger')
  return existsSync(directory) ? listSegments(directory, () => {}).find(isOwned)?.owner.pid : undefined
}
