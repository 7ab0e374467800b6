import { Command } from 'commander'
import { changes, scriptsOf } from '../packages/pin.ts'
import type { Packages } from '../packages/packages.ts'
import { sentenceOf } from '../packages/unpinned.ts'
import type { Unpinned } from '../packages/unpinned.ts'
import { nameOf } from '../packages/wanted.ts'
import { createMetrics } from '../metrics/metrics.ts'
import { createLogger } from '../log.ts'
import { openCells } from '../upstreams/cells.ts'
import { packageEvents } from '../upstreams/events.ts'
import { version } from '../version.ts'
import { jsonOf } from '../printable.ts'
import { sessionAction } from './session.ts'
import type { CommandContext, CommandSession } from './session.ts'

/** `portcullis pin …` */
export function pinCommand (context: CommandContext): Command {
  return new Command('pin')
    .argument('[upstream]', 'only this one')
    .option('--approve', 'install what the registry has now, and pin it')
    .option('--json', 'for scripts')
    .addOption(context.configOption())
    .action(sessionAction(context, async (session, options: PinOptions, ...[upstream]: (string | undefined)[]) => await pin(session, upstream, options)))
}

export interface PinOptions { readonly approve?: boolean | undefined, readonly json?: boolean | undefined }

/** How one upstream stands. `current` and `proposed` are digests. */
interface Standing {
  readonly upstream: string
  readonly package: string
  readonly state: 'pinned' | 'new' | 'changed' | 'approved'
  readonly version: string
  readonly current: string | undefined
  readonly proposed: string
  /** What would change, a line a package. */
  readonly changes: readonly string[]
  /** Packages whose scripts are not run. */
  readonly scripts: readonly string[]
}

/** Compares the lock file with the registries; with `approve`, brings it up to date. Returns the exit code: 1 while something is not approved. */
export async function pin ({ config, ledger, out }: Pick<CommandSession, 'config' | 'ledger' | 'out'>, only: string | undefined, { approve, json }: PinOptions = {}): Promise<number> {
  const upstreams = [...config.upstreams.values()].filter(({ name }) => only === undefined || name === only)
  if (only !== undefined && upstreams.length === 0) throw new Error(`upstreams.yaml has no upstream "${only}".`)
  const cells = openCells(config, packageEvents({ log: createLogger({ level: 'error' }), ledger, metrics: createMetrics({ version, process: false }) }))
  try {
    const standings: Standing[] = []
    const open: Unpinned[] = []
    for (const { name, command } of upstreams) {
      const unpinned = cells.packages.unpinned(name, command)
      if (unpinned !== undefined) {
        open.push(unpinned)
        continue
      }
      const standing = await look(cells.packages, name, command, approve === true, (detail) => ledger.append({ kind: 'admin', record: ledger.newRecord(), source: 'cli', upstream: name, outcome: 'ok', policy: config.version, detail }))
      if (standing !== undefined) standings.push(standing)
    }
    out(json === true ? `${jsonOf([...standings, ...open.map(({ upstream, why }) => ({ upstream, state: 'unpinned', why }))])}\n` : asText(standings, open, cells.packages.file, only))
    return standings.every(({ state }) => state === 'pinned' || state === 'approved') ? 0 : 1
  } finally {
    await cells.close()
  }
}

async function look (packages: Packages, upstream: string, command: readonly string[], approve: boolean, audit: (detail: Record<string, unknown>) => void): Promise<Standing | undefined> {
  const wanted = packages.wanted(upstream, command)
  if (wanted === undefined) return undefined
  const { current, proposed } = await packages.compare(upstream, wanted)
  const isSame = current?.digest === proposed.digest && current.wanted === proposed.wanted
  const state = isSame ? 'pinned' : approve ? 'approved' : current === undefined ? 'new' : 'changed'
  if (state === 'approved') {
    audit({ action: 'approve package', package: nameOf(wanted), version: proposed.version, digest: proposed.digest, before: current?.digest })
    await packages.approve(upstream, wanted, proposed)
  }
  return { upstream, package: nameOf(wanted), state, version: proposed.version, current: current?.digest, proposed: proposed.digest, changes: current === undefined ? [] : changes(current.plan, proposed.plan), scripts: scriptsOf(proposed.plan) }
}

const meanings: Readonly<Record<Standing['state'], string>> = {
  pinned: 'is what is pinned',
  new: 'is not pinned yet',
  changed: 'is not what is pinned',
  approved: 'is pinned from now on',
}

function asText (standings: readonly Standing[], unpinned: readonly Unpinned[], file: string, only: string | undefined): string {
  const doubts = unpinned.map((each) => `${sentenceOf(each)}\n`).join('')
  if (standings.length === 0) return doubts === '' ? 'No command here downloads a package, so nothing has to be pinned.\n' : doubts
  const lines = standings.flatMap(({ upstream, package: name, state, version, proposed, changes, scripts }) => [
    `${upstream}: ${name} is ${version} in the registry, which ${meanings[state]} (${proposed.slice(0, 19)}…)`,
    ...changes.map((change) => `  ${change}`),
    ...(scripts.length === 0 ? [] : [`  wants to run scripts when it is installed; they are not run: ${scripts.join(', ')}`]),
  ])
  const open = standings.some(({ state }) => state === 'new' || state === 'changed')
  return `${lines.join('\n')}\n${doubts}${open ? `To approve: portcullis pin ${only === undefined ? '' : `${only} `}--approve` : `${file} has them all.`}\n`
}
