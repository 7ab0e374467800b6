import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'

import { lookAlikes } from '../protocol/look-alike.ts'
import { readAudit } from './audit.ts'
import { readDocument } from './document.ts'
import { configFile, readEnvironment } from './environment.ts'
import type { Flags, Settings } from './environment.ts'
import { deepFreeze } from './freeze.ts'
import { readGuards } from './guards.ts'
import { readIdentity } from './identity.ts'
import { readHealth } from './health.ts'
import { readInstances } from './instances.ts'
import { readLimits } from './limits.ts'
import { openReport } from './report.ts'
import { readOAuth } from './oauth.ts'
import { readPackages } from './packages.ts'
import { readRoles } from './roles.ts'
import { readServer } from './server.ts'
import { readUpstream } from './upstream.ts'
import { validate } from './validate.ts'
import { warn } from './warnings.ts'
import type { Config } from './config.ts'
import type { Problem } from './problems.ts'
import type { RawConfig } from './schema.ts'
import type { Surroundings } from './reading.ts'

/** `config` is undefined exactly when there are problems. */
export interface Reading { readonly config: Config | undefined, readonly problems: readonly Problem[], readonly warnings: readonly Problem[] }

/** Reads everything, stops at nothing: all problems of the file and of the environment come back together. */
export function readConfig (env: NodeJS.ProcessEnv, flags: Flags = {}): Reading {
  const file = configFile(env, flags)
  const content = readBytes(file)
  if (typeof content === 'string') return unreadable(file, content, env)
  const { value, report } = readDocument(file, content)
  const raw = report.problems.length === 0 ? validate(value, report) : undefined
  const environment = readEnvironment(env, file, report)
  const version = createHash('sha256').update(content).digest('hex').slice(0, 12)
  const read = { file, version, env, report, upstreams: namesIn(value), allowUnsandboxed: flags.allowUnsandboxed ?? false }
  const config = raw === undefined ? undefined : assemble(raw, environment, read)
  const { problems } = report
  if (config !== undefined && problems.length === 0) warn(config, report)
  return { config: problems.length === 0 && config !== undefined ? deepFreeze(config) : undefined, problems, warnings: report.warnings }
}

type Read = Omit<Surroundings, 'directory' | 'data'> & { readonly version: string }

function assemble (raw: Partial<RawConfig>, { host, port, publicUrl, ...environment }: Settings, { version, ...read }: Read): Config {
  const { file, allowUnsandboxed } = read
  const directory = dirname(file)
  const around: Surroundings = { ...read, directory, data: environment.data }
  const roles = readRoles(raw.roles, around)
  refuseLookAlikes(read)
  return {
    ...environment,
    file,
    directory,
    version,
    allowUnsandboxed,
    server: { host, port, publicUrl, ...readServer(raw.server, around) },
    upstreams: new Map(Object.entries(raw.upstreams ?? {}).map(([name, upstream]) => [name, readUpstream(name, upstream, around)])),
    roles,
    limits: readLimits(raw.limits, around),
    guards: readGuards(raw.guards, around),
    instances: readInstances(raw.instances),
    packages: readPackages(raw.packages, around),
    health: readHealth(raw.health, around),
    audit: readAudit(raw.audit, around),
    oauth: readOAuth(raw.oauth, around),
    identity: readIdentity(raw.identity, { ...around, roles: new Set(roles.keys()), publicUrl }),
  }
}

/** Names that a person takes for one another would let one upstream pass for another; capitals are a mistake of their own. */
function refuseLookAlikes ({ upstreams, report }: Pick<Read, 'upstreams' | 'report'>): void {
  for (const [name, like] of lookAlikes(upstreams.filter((name) => name === name.toLowerCase()))) report.problem(['upstreams', name], `looks like "${like}": people and models could not tell the two apart. Rename one of them`, 'key')
}

/** Names under `upstreams`, also those with problems: a rule about one of them is not a mistake of its own. */
function namesIn (value: unknown): string[] {
  const upstreams = (value as { upstreams?: unknown } | null | undefined)?.upstreams
  return typeof upstreams === 'object' && upstreams !== null ? Object.keys(upstreams) : []
}

/** The file's bytes, or why there are none. */
function readBytes (file: string): Uint8Array | string {
  try {
    return readFileSync(file)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return missing(file)
    return code === 'EISDIR' ? 'is a directory: name the file in it' : `cannot be read (${code ?? String(error)})`
  }
}

function missing (file: string): string {
  return `does not exist. Looked for ${file}; PORTCULLIS_CONFIG or --config names another file. A first one can be as short as
  upstreams:
    everything: { command: npx -y @modelcontextprotocol/server-everything@2026.8.31 stdio }
  roles:
    user: { allow: ["everything/*"] }
    admin: { allow: ["*/*"] }`
}

function unreadable (file: string, message: string, env: NodeJS.ProcessEnv): Reading {
  const report = openReport(file, () => ({ line: 0, column: 0 }))
  report.problem([], message)
  readEnvironment(env, file, report)
  return { config: undefined, problems: report.problems, warnings: report.warnings }
}
