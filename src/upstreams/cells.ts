import { resolveReferences } from '../config/config.ts'
import type { Config, SandboxSpec, UpstreamSpec } from '../config/config.ts'
import { openSecrets } from '../config/secrets.ts'
import type { RecordConnection } from '../egress/connection.ts'
import { openEgress } from '../egress/proxy.ts'
import type { Egress } from '../egress/proxy.ts'
import { Refusal } from '../errors.ts'
import { Packages } from '../packages/packages.ts'
import type { PackagesParts } from '../packages/packages.ts'
import type { Unpinned } from '../packages/unpinned.ts'
import { bridgeProcesses } from '../sandbox/bridge.ts'
import type { Cell, CellSpec } from '../sandbox/cell.ts'
import { hostOn } from '../sandbox/host.ts'
import { openSandbox } from '../sandbox/sandbox.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { openRemote } from './remote/cell.ts'
import type { Owner } from './seat.ts'
import { readStderr } from './stderr.ts'
import type { StderrLevel } from './stderr.ts'

/** Cells for the upstreams of a configuration. */
export interface Cells {
  /** Starts an upstream for one user: references resolved, nothing else of the gateway inside. */
  spawn (spec: UpstreamSpec, user: Owner['user'], hooks: CellHooks): Promise<Cell>
  /** Why upstreams would be refused on this machine; empty when all is well. */
  problems (): Promise<readonly string[]>
  /** Installs the packages that commands name, so that no call waits for it. Why one cannot be had goes to `failed`. */
  install (failed: (upstream: string, reason: string) => void): Promise<void>
  readonly packages: Packages
  /** Ends what is being installed and every connection of cells; the cells belong to whoever spawned them. */
  close (): Promise<void>
}

/** What cells tell of packages. */
export type PackageEvents = Pick<PackagesParts, 'egress' | 'pinned'> & {
  /** An upstream is about to start unpinned; when this fails, it does not. */
  readonly unpinned: (upstream: Unpinned) => void
}

/** What a cell has to say beside its answers. */
export interface CellHooks {
  readonly egress: RecordConnection
  stderr (line: string, level: StderrLevel): void
}

const nobody = { id: 'shared', name: 'shared' }

export function openCells (config: Config, events: PackageEvents): Cells {
  const secrets = openSecrets(config.data)
  const local = [...config.upstreams.values()].filter(({ remote }) => remote === undefined)
  const open = (mode: SandboxSpec['mode']): Sandbox => openSandbox(mode, { allowUnsandboxed: config.allowUnsandboxed, ...(config.path === undefined ? {} : { path: config.path }) })
  const sandboxes = new Map<string, Sandbox>([...new Set(local.map(({ sandbox }) => sandbox.mode))].map((mode) => [mode, open(mode)]))
  const packages = new Packages({ config, host: hostOn(config.path), sandbox: sandboxes.get('bubblewrap') ?? open('bubblewrap'), ...events })
  const ways = new Set<Egress>()
  return { spawn, problems, install, packages, close }

  async function close (): Promise<void> {
    await packages.close()
    await Promise.all([...ways].map(async (way) => await way.close()))
  }

  async function spawn (spec: UpstreamSpec, user: Owner['user'], hooks: CellHooks): Promise<Cell> {
    // A shared process works for everybody, so nobody's own secrets belong in it.
    const given: string[] = []
    const secret = (name: string): string | undefined => {
      const value = spec.isolation === 'shared' ? secrets(name) : secrets(name, user.name)
      if (value !== undefined) given.push(value)
      return value
    }
    const who = { user: spec.isolation === 'shared' ? nobody : user, secret }
    const fill = (text: string): string => resolveReferences(text, who)
    const fillAll = (texts: Readonly<Record<string, string>>): Record<string, string> => Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, fill(text)]))
    const cell = spec.remote === undefined
      ? await confine(spec, fill, fillAll, hooks)
      : openRemote({ remote: spec.remote, headers: fillAll(spec.remote.headers), maxMessage: config.guards.maxResult + 65_536, maxRequest: config.server.maxBody + 65_536, startMs: spec.timeouts.start, record: hooks.egress })
    readStderr(cell.stderr, given, hooks.stderr)
    return cell
  }

  async function confine (spec: UpstreamSpec, fill: (text: string) => string, fillAll: (texts: Readonly<Record<string, string>>) => Record<string, string>, hooks: CellHooks): Promise<Cell> {
    const sandbox = sandboxes.get(spec.sandbox.mode)
    if (sandbox === undefined) throw new Refusal('PORTCULLIS_UPSTREAM_UNAVAILABLE')
    const command = spec.command.map(fill)
    const program = await packages.program(spec.name, command)
    if (program?.unpinned !== undefined) events.unpinned(program.unpinned)
    return await withEgress(ways, spec.sandbox, hooks.egress, async (sandboxed) => await sandbox.spawn({
      upstream: spec.name,
      command: program?.command ?? command,
      ...(program?.folder === undefined ? {} : { package: program.folder }),
      ...(program?.unpinned === undefined ? {} : { downloads: true }),
      directory: config.directory,
      ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
      env: { ...program?.env, ...fillAll(spec.env) },
      ...sandboxed,
      protect: [config.data, config.file],
    }))
  }

  async function problems (): Promise<readonly string[]> {
    const tests = await Promise.all([...sandboxes.values()].map((sandbox) => sandbox.selfTest()))
    return tests.flatMap((test) => test.ok ? [] : [`${test.reason} ${test.hint}`])
  }

  async function install (failed: (upstream: string, reason: string) => void): Promise<void> {
    await Promise.all(local.map(async ({ name, command }) => {
      try {
        await packages.program(name, command)
      } catch (error) {
        failed(name, error instanceof Error ? error.message : String(error))
      }
    }))
  }
}

/** Starts a cell with a proxy of its own, where its network is not `none`; the proxy ends with the cell. `ways` has those that did not yet. */
async function withEgress (ways: Set<Egress>, sandbox: SandboxSpec, record: RecordConnection, start: (spec: Pick<CellSpec, 'sandbox' | 'egress'>) => Promise<Cell>): Promise<Cell> {
  if (sandbox.network === 'none') return await start({ sandbox })
  const egress = await openEgress({ network: sandbox.network, record })
  ways.add(egress)
  const end = async (): Promise<void> => {
    await egress.close()
    ways.delete(egress)
  }
  try {
    const cell = await start({ sandbox: { ...sandbox, processes: sandbox.processes + bridgeProcesses }, egress: egress.socket })
    void cell.exited.then(end)
    return cell
  } catch (error) {
    await end()
    throw error
  }
}
