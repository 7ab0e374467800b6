import { basename, resolve } from 'node:path'
import { isWithin } from '../config/grants.ts'
import { bridgeEnvironment, bridged } from './bridge.ts'
import type { CellSpec } from './cell.ts'
import { innerPath, isSystemPath, resolveCommand } from './command.ts'
import type { Resolved } from './command.ts'
import { realGrant, realPath, tooBroad } from './grants.ts'
import type { Secrets } from './grants.ts'
import type { Host } from './host.ts'
import { outerMounts, planMounts } from './mounts.ts'
import type { Mount } from './mounts.ts'
import { innerHome } from './recipe.ts'
import { SandboxError } from './sandbox-error.ts'

/** What one cell is: decided, but nothing opened yet. */
export interface Plan {
  readonly argv: readonly string[]
  readonly mounts: readonly Mount[]
  readonly environment: Readonly<Record<string, string>>
  readonly cwd: string
  /** Bytes of private memory a process of this runtime has mapped before it did anything. */
  readonly dataSlack: number
}

/**
 * What a cell for `spec` runs and sees on this machine.
 * @throws SandboxError saying what is missing or refused, and what to do
 */
export function planCell (spec: CellSpec, host: Host): Plan {
  const secrets: Secrets = { protect: spec.protect.map((path) => realPath(path) ?? path), home: host.home }
  const resolved = resolveCommand(spec.command, spec.directory, host, (directory) => tooBroad(directory, secrets), spec.downloads)
  const own = spec.package === undefined ? [] : [realPath(spec.package) ?? spec.package]
  refuseProtected(resolved.visible.filter((path) => !own.some((folder) => isWithin(path, folder))), secrets)
  const mounts = planMounts(
    [...resolved.visible, ...own],
    spec.sandbox.read.map((grant) => realGrant(grant, 'read', secrets)),
    spec.sandbox.write.map((grant) => realGrant(grant, 'write', secrets))
  )
  for (const mount of mounts) requireMountPoint(mount, outerMounts(mount, mounts))
  const argv = spec.egress === undefined ? resolved.argv : bridged(resolved.argv, host.tool)
  return { argv, mounts, environment: environmentOf(spec, resolved), cwd: cwdOf(spec, mounts), dataSlack: dataSlackOf(resolved, host) }
}

/** Checks a name and a value for the environment of an upstream; both backends do. */
export function checkEnvironment (env: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(env)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new SandboxError(`"${name}" is not the name of an environment variable.`, 'Use letters, digits and underscores.')
    if (value.includes('\0')) throw new SandboxError(`The value of the environment variable ${name} holds a NUL byte.`)
  }
}

const MiB = 1024 * 1024

function refuseProtected (visible: readonly string[], { protect }: Secrets): void {
  for (const path of visible) {
    const own = protect.find((place) => isWithin(path, place) || isWithin(place, path))
    if (own !== undefined) throw new SandboxError(`The program needs ${path}, which cannot be shown to it: the gateway's own ${own} is there.`, 'Keep upstream servers in a directory of their own.')
  }
}

/** A mount point in a read-only mount cannot be made, and must not be a link that leads elsewhere. */
function requireMountPoint (mount: Mount, outer: readonly Mount[]): void {
  for (const { source, target } of outer) {
    const place = source + mount.target.slice(target.length)
    if (realPath(place) !== place) throw new SandboxError(`${mount.target} cannot be mounted inside ${target}: there is no such directory in ${source}.`, `Create ${place}, or choose another target.`)
  }
}

function environmentOf (spec: CellSpec, { path, runtime }: Resolved): Record<string, string> {
  checkEnvironment(spec.env)
  return {
    PATH: innerPath(path),
    HOME: innerHome,
    TMPDIR: '/tmp',
    LANG: 'C.UTF-8',
    USER: 'mcp',
    LOGNAME: 'mcp',
    ...(runtime === 'node' ? { NODE_OPTIONS: `--max-old-space-size=${heapMebibytes(spec.sandbox.memory)}` } : {}),
    ...(spec.egress === undefined ? {} : bridgeEnvironment),
    ...spec.env,
  }
}

/** Node sizes its heap by the host's memory; told of the limit it collects before it, and fails with a message of its own. */
function heapMebibytes (memory: number): number {
  return Math.max(32, Math.floor(memory * 0.75 / MiB))
}

function cwdOf ({ cwd, directory }: CellSpec, mounts: readonly Mount[]): string {
  if (cwd === undefined) return innerHome
  const path = resolve(directory, cwd)
  const inside = isSystemPath(path) || [innerHome, '/tmp'].includes(path) || mounts.some(({ target }) => isWithin(path, target))
  if (!inside) throw new SandboxError(`The working directory ${path} is not visible inside the sandbox.`, `Grant it: sandbox: { read: [${path}] }`)
  return path
}

/**
 * Node 24 maps 573 MiB before it begins, Node 20 and Python far less; what is unknown gets the larger allowance.
 * The cell as a whole is held to sandbox.memory by the watchdog.
 */
function dataSlackOf ({ runtime, argv }: Resolved, host: Host): number {
  const isOlderNode = runtime === 'node' && argv[0] === host.real(host.node) && Number(process.versions.node.split('.')[0]) <= 22
  const isPython = runtime === 'python' || /^python[\d.]*$/.test(basename(argv[0] ?? ''))
  return (isOlderNode || isPython ? 512 : 1536) * MiB
}
