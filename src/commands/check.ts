import { basename } from 'node:path'

import { formatProblem } from '../config/problems.ts'
import { readConfig } from '../config/read.ts'
import { references } from '../config/references.ts'
import { formatDuration } from '../config/units.ts'
import type { Config } from '../config/config.ts'
import type { Reading } from '../config/read.ts'
import { isOfHost, sentenceOf, unpinnedIn } from '../packages/unpinned.ts'
import { resolveCommand } from '../sandbox/command.ts'
import { hostOn } from '../sandbox/host.ts'

export interface CheckOptions {
  readonly env: NodeJS.ProcessEnv
  /** upstreams.yaml; else PORTCULLIS_CONFIG, else the one here. */
  readonly file?: string | undefined
  /** One JSON object instead of text. */
  readonly json?: boolean | undefined
  readonly allowUnsandboxed?: boolean | undefined
  readonly out: (text: string) => void
}

/** Reads the configuration, tells every problem and warning, starts nothing. Returns the exit code: 1 when there are problems. */
export async function check ({ env, file, json, allowUnsandboxed, out }: CheckOptions): Promise<number> {
  const reading = readConfig(env, { file, allowUnsandboxed })
  out(json === true ? asJson(reading) : asText(reading))
  return reading.problems.length === 0 ? 0 : 1
}

function asJson ({ config, problems, warnings }: Reading): string {
  const summary = config === undefined ? {} : summarise(config)
  return `${JSON.stringify({ ok: problems.length === 0, ...summary, problems, warnings }, null, 2)}\n`
}

function asText ({ config, problems, warnings }: Reading): string {
  const lines = [...problems.map(formatProblem), ...warnings.map((warning) => `warning: ${formatProblem(warning)}`)]
  if (config === undefined) lines.push(`${problems.length} problem${problems.length === 1 ? '' : 's'}: nothing would start.`)
  else lines.push(...[...doubts(config), ...absences(config)].map((doubt) => `warning: ${doubt}`), ...describe(config))
  return `${lines.join('\n')}\n`
}

/** Upstreams whose program is not on this machine, which may be another one than that of the gateway. */
function absences ({ upstreams, directory, path }: Config): string[] {
  const host = hostOn(path)
  return [...upstreams.values()].flatMap((spec) => {
    const [program = ''] = spec.command
    if (!isOfHost(spec) || downloading.has(basename(program)) || references(program).length > 0) return []
    try {
      resolveCommand([program], directory, host, () => undefined)
      return []
    } catch (error) {
      return [`${spec.name} would not start on this machine: ${error instanceof Error ? error.message : String(error)}`]
    }
  })
}

/** What runs a package: whether that can be had is told by `doubts`. */
const downloading: ReadonlySet<string> = new Set(['npx', 'uvx', 'uv', 'pipx'])

/** Upstreams that the configuration lets download their program, and those that would have to and are refused. */
function doubts (config: Config): string[] {
  const { running, refused } = unpinnedIn(config)
  return [...running.map(sentenceOf), ...refused.map(({ upstream, reason }) => `${upstream} will be refused: ${reason}`)]
}

function summarise (config: Config): Readonly<Record<string, unknown>> {
  return {
    file: config.file,
    version: config.version,
    data: config.data,
    publicUrl: config.server.publicUrl,
    database: config.databaseUrl === undefined ? 'embedded' : 'DATABASE_URL',
    unpinned: doubts(config),
    absent: absences(config),
    upstreams: [...config.upstreams.values()].map(({ name, isolation, sandbox, timeouts }) => ({ name, isolation, sandbox: sandbox.mode, callTimeoutMs: timeouts.call })),
    roles: [...config.roles.values()].map(({ name, allow, deny }) => ({ name, allow: allow.length, deny: deny.length })),
    limits: config.limits.map(({ name }) => name),
    denyPatterns: config.guards.deny.map(({ name }) => name),
    audit: config.audit,
  }
}

function describe (config: Config): string[] {
  const { upstreams, roles, limits, guards, audit, server } = config
  const rows: [string, string][] = [
    ['upstreams', [...upstreams.values()].map(({ name, isolation, sandbox }) => `${name} (${isolation}, ${sandbox.mode === 'none' ? 'no sandbox' : sandbox.mode})`).join(', ')],
    ['roles', [...roles.values()].map(({ name, allow, deny }) => `${name} (${allow.length} allow, ${deny.length} deny)`).join(', ')],
    ['limits', limits.map(({ name }) => name).join('; ') || 'none'],
    ['guards', guards.deny.map(({ name }) => name).join(', ') || 'no deny patterns'],
    ['audit', `arguments ${audit.arguments}, durability ${audit.durability}, up to ${formatDuration(audit.maxOutage)} without the database`],
    ['database', config.databaseUrl === undefined ? `embedded, in ${config.data}` : 'DATABASE_URL'],
    ['address', `${server.publicUrl}/mcp, listening on ${server.host}:${server.port}`],
  ]
  return [`${config.file} is fine (version ${config.version})`, ...rows.map(([name, text]) => `  ${name.padEnd(10)} ${text}`)]
}
