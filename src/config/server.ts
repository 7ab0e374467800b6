import { present } from './reading.ts'
import { defaults } from './schema.ts'
import type { RawConfig } from './schema.ts'
import { parseSize } from './units.ts'
import type { ServerSpec } from './config.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'

/** `server:` → the names and origins the gateway answers to. */
export function readServer (raw: RawConfig['server'], { report }: Surroundings): Pick<ServerSpec, 'hosts' | 'origins' | 'maxBody'> {
  const read = (key: 'hosts' | 'origins', problem: (text: string) => string | undefined): readonly string[] => {
    const entries = present(raw?.[key])
    for (const [index, text] of entries) tell(['server', key, index], problem(text), report)
    return entries.map(([, text]) => text.toLowerCase())
  }
  return { hosts: read('hosts', hostProblem), origins: read('origins', originProblem), maxBody: parseSize(raw?.max_body ?? defaults.server.max_body) }
}

function tell (path: Path, problem: string | undefined, report: Surroundings['report']): void {
  if (problem !== undefined) report.problem(path, problem)
}

function hostProblem (text: string): string | undefined {
  if (text.includes('*')) return `"${text}": host names have no wildcards, which would undo the protection against DNS rebinding: list each name`
  if (text.includes('://')) return `must be a host name without a scheme: "${URL.canParse(text) ? new URL(text).host : text.replace(/^.*:\/\//, '')}"`
  return /^(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::[0-9]{1,5})?$/i.test(text) ? undefined : `must be a host name or host:port, got ${JSON.stringify(text)}`
}

function originProblem (text: string): string | undefined {
  if (text === '*' || text === 'null') return `"${text}" would let any web page call this gateway: list each origin`
  if (text.includes('*')) return `"${text}": origins have no wildcards: list each one`
  const origin = URL.canParse(text) ? new URL(text).origin : 'null'
  if (origin === 'null') return `must be an origin such as https://app.example.com, got ${JSON.stringify(text)}`
  return origin === text.toLowerCase() ? undefined : `must be only scheme, host and port: "${origin}"`
}
