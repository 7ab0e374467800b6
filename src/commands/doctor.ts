import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { formatProblem } from '../config/problems.ts'
import { readConfig } from '../config/read.ts'
import { checkDatabase, checkKeys, openAsItIs } from './doctor/database.ts'
import { counted, failed, ok, warning } from './doctor/finding.ts'
import type { Finding } from './doctor/finding.ts'
import { askGateway } from './doctor/gateway.ts'
import type { Asked } from './doctor/gateway.ts'
import { checkChain, checkSpool } from './doctor/ledger.ts'
import { checkPackages, checkRedis, checkSandboxes } from './doctor/machine.ts'
import { tryUpstreams, upstreamsOf } from './doctor/upstreams.ts'
import { printable } from '../printable.ts'
import type { CommandContext } from './session.ts'

interface Options { readonly config?: string, readonly json: boolean, readonly allowUnsandboxed: boolean }

/** `portcullis doctor`: looks at everything a gateway needs, and says what to do. */
export function doctorCommand ({ env, out, configOption }: CommandContext): Command {
  return new Command('doctor')
    .option('--json', 'for scripts', false)
    .option('--allow-unsandboxed', 'accept upstreams that say `sandbox: none`', false)
    .addOption(configOption())
    .action(async ({ config, json, allowUnsandboxed }: Options) => {
      process.exitCode = await doctor({ env, out, file: config, json, allowUnsandboxed })
    })
}

export interface DoctorOptions {
  readonly env: NodeJS.ProcessEnv
  readonly out: (text: string) => void
  readonly file?: string | undefined
  /** One JSON object instead of lines. */
  readonly json?: boolean
  readonly allowUnsandboxed?: boolean
}

/** Returns the exit code: 1 when something failed. */
export async function doctor ({ env, out, file, json = false, allowUnsandboxed = false }: DoctorOptions): Promise<number> {
  const { config, problems, warnings } = readConfig(env, { file, allowUnsandboxed })
  const findings = [
    ...problems.map((problem) => failed('configuration', formatProblem(problem), 'Until it is mended nothing else can be looked at.')),
    ...warnings.map((doubt) => warning('configuration', formatProblem(doubt))),
    ...config === undefined ? [] : [ok('configuration', `${config.file} is fine (version ${config.version}).`), ...await examine(config)],
  ]
  const isWell = findings.every(({ state }) => state !== 'failed')
  out(json ? `${JSON.stringify({ ok: isWell, findings }, null, 2)}\n` : asText(findings))
  return isWell ? 0 : 1
}

async function examine (config: Config): Promise<Finding[]> {
  const asked = await askGateway(config)
  const machine = await Promise.all([checkSandboxes(config), checkRedis(config.redisUrl)])
  return [...asked.findings, ...machine.flat(), ...checkPackages(config), ...await examineData(config, asked)]
}

/** What lies in the data directory and the database; nothing of it is made by looking. */
async function examineData (config: Config, asked: Asked): Promise<Finding[]> {
  if (!existsSync(join(config.data, 'keys', 'master.key'))) return [warning('data', `No gateway has run in ${config.data} yet, so there is no database, spool or key to look at, and no server was started.`, 'Run `portcullis serve`, then this again.')]
  const spool = config.audit.durability === 'database' ? [] : await checkSpool(config, asked.standing)
  const { database, findings } = await openAsItIs(config)
  try {
    return [
      ...findings,
      ...database === undefined ? [] : [...await checkDatabase(database, config.databaseUrl === undefined), ...await checkKeys(database, config.data)],
      ...spool,
      ...await checkChain(config.data),
      ...asked.standing !== undefined ? upstreamsOf(asked.standing) : asked.isRunning || database === undefined ? [untried(asked.isRunning)] : await tryUpstreams(config, database),
    ]
  } finally {
    await database?.close()
  }
}

function untried (isRunning: boolean): Finding {
  return isRunning
    ? warning('upstreams', 'They were not started: a gateway runs that could not be asked, and it would be disturbed.')
    : warning('upstreams', 'They were not started: without the database it could not be recorded.', 'Bring the database back first.')
}

function asText (findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ part }) => part.length))
  const lines = findings.flatMap(({ part, state, text, remedy, by }) => [
    `${state.padEnd(7)}  ${part.padEnd(width)}  ${printable(text)}${by === 'gateway' && part !== 'gateway' ? ' (says the gateway)' : ''}${remedy === undefined ? '' : ` → ${printable(remedy)}`}`,
  ])
  const count = (state: Finding['state']): number => findings.filter((finding) => finding.state === state).length
  return `${lines.join('\n')}\n${count('failed')} failed, ${counted(count('warning'), 'warning')}, ${count('ok')} ok.\n`
}
