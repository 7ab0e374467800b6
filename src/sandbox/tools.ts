import { execFile } from 'node:child_process'
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { installHint } from './hints.ts'
import { SandboxError } from './sandbox-error.ts'

/** The programs of the host that build a cell, by absolute path, and what this bwrap can do. */
export interface Tools {
  readonly bwrap: string
  readonly prlimit: string
  readonly choom: string | undefined
  readonly nice: string | undefined
  readonly setpriv: string | undefined
  /** The option names `bwrap --help` lists. */
  readonly options: ReadonlySet<string>
}

/** Absolute path of an executable, or undefined. */
export type Lookup = (program: string) => string | undefined

/**
 * Finds what a cell needs.
 * @throws SandboxError naming the package to install
 */
export async function findTools (lookup: Lookup): Promise<Tools> {
  const bwrap = lookup('bwrap')
  if (bwrap === undefined) throw missing('bubblewrap (bwrap)', 'bubblewrap')
  const prlimit = lookup('prlimit')
  if (prlimit === undefined || !prlimit.startsWith('/usr/')) throw missing('prlimit below /usr', 'util-linux')
  const options = await optionsOf(bwrap)
  const absent = required.filter((option) => !options.has(option))
  if (absent.length > 0) throw new SandboxError(`${bwrap} does not know ${absent.join(', ')}.`, 'Install bubblewrap 0.8 or newer.')
  return { bwrap, prlimit, choom: lookup('choom'), nice: lookup('nice'), setpriv: lookup('setpriv'), options }
}

/** What `mode: landlock` needs: a setpriv that knows Landlock, and the programs around it. */
export interface LandlockTools {
  readonly setpriv: string
  readonly prlimit: string
  readonly choom: string | undefined
  readonly nice: string | undefined
}

/**
 * Finds what a cell of `mode: landlock` needs.
 * @throws SandboxError naming what is missing or too old
 */
export async function findLandlockTools (lookup: Lookup): Promise<LandlockTools> {
  const setpriv = lookup('setpriv')
  if (setpriv === undefined) throw missing('setpriv', 'util-linux')
  const prlimit = lookup('prlimit')
  if (prlimit === undefined || !prlimit.startsWith('/usr/')) throw missing('prlimit below /usr', 'util-linux')
  const options = await optionsOf(setpriv)
  if (!['--landlock-access', '--landlock-rule', '--seccomp-filter'].every((option) => options.has(option))) {
    throw new SandboxError(`${setpriv} is too old for mode: landlock: it does not know --landlock-access.`, 'Install util-linux 2.41 or newer (Debian 13 has it), or use mode: bubblewrap.')
  }
  return { setpriv, prlimit, choom: lookup('choom'), nice: lookup('nice') }
}

/** Looks programs up along `path` (colon-separated; relative directories do not count). */
export function lookupOn (path: string): Lookup {
  return (program) => path.split(':')
    .filter((directory) => directory.startsWith('/'))
    .map((directory) => join(directory, program))
    .find(isExecutable)
}

/** Whether `path` is a regular file that this process may execute. */
export function isExecutable (path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

const required = ['--args', '--size', '--perms', '--clearenv', '--ro-bind-data', '--seccomp', '--json-status-fd', '--die-with-parent', '--remount-ro', '--unshare-cgroup-try']
const helpTimeoutMs = 10_000

async function optionsOf (program: string): Promise<ReadonlySet<string>> {
  try {
    const { stdout } = await promisify(execFile)(program, ['--help'], { env: {}, timeout: helpTimeoutMs })
    return new Set(stdout.match(/--[a-z][a-z0-9-]*/g))
  } catch (error) {
    throw new SandboxError(`${program} --help does not work: ${error instanceof Error ? error.message : String(error)}.`, undefined, error)
  }
}

function missing (what: string, debianPackage: string): SandboxError {
  return new SandboxError(`${what} is not installed, and upstreams only run inside a sandbox.`, installHint(debianPackage, osRelease()))
}

function osRelease (): string {
  try {
    return readFileSync('/etc/os-release', 'utf8')
  } catch {
    return ''
  }
}
