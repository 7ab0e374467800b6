import type { SandboxSpec } from '../config/config.ts'
import { harmlessEtc } from './system.ts'
import type { SystemPart } from './system.ts'

/** What is shown of the host: by descriptor where bwrap can bind one, else by path. */
export interface Bind { readonly from: number | string, readonly target: string, readonly write: boolean }

/** Everything the bubblewrap command line of one cell depends on. */
export interface Recipe {
  readonly system: readonly SystemPart[]
  readonly binds: readonly Bind[]
  /** Path inside → descriptor to read the content from. */
  readonly files: Readonly<Record<string, number>>
  readonly seccomp: number
  readonly status: number
  readonly environment: Readonly<Record<string, string>>
  readonly cwd: string
  readonly tmp: number
  /** The options this bwrap knows. */
  readonly options: ReadonlySet<string>
}

/** Home directory of the user inside; a small tmpfs. */
export const innerHome = '/home/mcp'

/** What identifies the user inside, and nothing of the host. No resolv.conf: there is no network. */
export const syntheticFiles: Readonly<Record<string, string>> = {
  '/etc/passwd': `mcp:x:1000:1000:mcp:${innerHome}:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`,
  '/etc/group': 'mcp:x:1000:\nnogroup:x:65534:\n',
  '/etc/hosts': '127.0.0.1 localhost sandbox\n::1 localhost\n',
  '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\n',
}

/** The options of bwrap for one cell, in the order in which bwrap carries them out. */
export function bwrapOptions (recipe: Recipe): string[] {
  return [
    ...namespaces(recipe.options),
    ...systemMounts(recipe.system),
    ...scratch(recipe.tmp),
    ...Object.entries(recipe.files).flatMap(([path, descriptor]) => ['--perms', '0444', '--ro-bind-data', `${descriptor}`, path]),
    ...recipe.binds.flatMap(bind),
    // a root gateway's /proc would otherwise be writable where the kernel checks for uid 0 of the host only
    '--remount-ro', '/proc', '--remount-ro', '/', '--chdir', recipe.cwd,
    '--clearenv', ...Object.entries(recipe.environment).flatMap(([name, value]) => ['--setenv', name, value]),
    '--seccomp', `${recipe.seccomp}`, '--json-status-fd', `${recipe.status}`,
  ]
}

/** Limits that hold inside: nproc counts in the cell's own user namespace, data is what malloc and mmap can get. */
export function limitOptions (sandbox: SandboxSpec, runtime: { dataSlack: number }): string[] {
  const both = (value: number): string => `${value}:${value}`
  return [
    `--nproc=${both(sandbox.processes)}`,
    `--data=${both(sandbox.memory + runtime.dataSlack)}`,
    `--fsize=${both(sandbox.fileSize)}`,
    `--nofile=${both(sandbox.openFiles)}`,
    '--core=0:0',
  ]
}

/** Every namespace by name: --unshare-all only tries a user namespace, and goes on without. */
function namespaces (options: ReadonlySet<string>): string[] {
  return [
    '--unshare-user', '--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try',
    '--uid', '1000', '--gid', '1000', '--cap-drop', 'ALL',
    ...options.has('--disable-userns') ? ['--disable-userns'] : [], // the seccomp filter forbids nested ones in any case
    '--die-with-parent', '--new-session', '--hostname', 'sandbox',
  ]
}

function systemMounts (parts: readonly SystemPart[]): string[] {
  return [
    ...parts.flatMap((part) => 'link' in part ? ['--symlink', part.link, part.path] : ['--ro-bind', part.path, part.path]),
    ...harmlessEtc.flatMap((path) => ['--ro-bind-try', path, path]),
  ]
}

function scratch (tmp: number): string[] {
  return [
    '--proc', '/proc', '--dev', '/dev', '--size', '16777216', '--tmpfs', '/dev/shm', '--remount-ro', '/dev',
    '--perms', '1777', '--size', `${tmp}`, '--tmpfs', '/tmp',
    '--perms', '0700', '--size', `${tmp}`, '--tmpfs', innerHome,
  ]
}

function bind ({ from, target, write }: Bind): string[] {
  const option = `--${write ? '' : 'ro-'}bind${typeof from === 'number' ? '-fd' : ''}`
  return [option, `${from}`, target]
}
