import { statSync } from 'node:fs'
import { ancestors } from './host.ts'
import type { OpenMount, Owner } from './grants.ts'
import type { Bind } from './recipe.ts'
import { SandboxError } from './sandbox-error.ts'
import type { SystemPart } from './system.ts'
import type { Tools } from './tools.ts'

/** Whom cells run as when the gateway is root: the kernel must never see a cell's process as its own uid 0. */
export const nobody: Owner = { uid: 65534, gid: 65534 }

/**
 * Whether a cell of a root gateway must be staged: some source lies beneath a directory (such as /root) that the cell's
 * user may not pass, so that bwrap, running as that user, could not reach it.
 */
export function needsStage (mounts: readonly OpenMount[]): boolean {
  return mounts.some(({ source }) => ancestors(source).slice(1).some((folder) => (statSync(folder).mode & 0o001) === 0))
}

/** Where a staged source is found by the bwrap that builds the cell. */
export function stagedPath (index: number): string {
  return `/stage/${index}`
}

/**
 * Options for an outer bwrap that runs as root and prepares a bare root with the system and the sources at
 * `stagedPath`; in it setpriv gives all rights up before the cell's own bwrap begins.
 */
export function stageOptions (system: readonly SystemPart[], sources: readonly Bind['from'][]): string[] {
  return [
    '--die-with-parent', '--cap-drop', 'ALL', ...['SYS_ADMIN', 'SETUID', 'SETGID', 'SETPCAP'].flatMap((name) => ['--cap-add', `CAP_${name}`]),
    ...system.flatMap((part) => 'link' in part ? ['--symlink', part.link, part.path] : ['--ro-bind', part.path, part.path]),
    '--ro-bind', '/etc', '/etc', '--dev-bind', '/proc', '/proc', '--dev-bind', '/dev', '/dev',
    '--dir', '/tmp', '--perms', '0755', '--dir', '/stage', // bwrap mounts its own root over /tmp
    ...sources.flatMap((from, index) => [typeof from === 'number' ? '--bind-fd' : '--bind', `${from}`, stagedPath(index)]),
  ]
}

/** The words between the outer bwrap and the inner one. */
export function dropRights (tools: Tools): string[] {
  if (tools.setpriv === undefined) throw new SandboxError('setpriv (util-linux) is needed to run upstreams from directories that only root can pass.', 'Install util-linux, or move the programs out of /root.')
  return [tools.setpriv, '--reuid', `${nobody.uid}`, '--regid', `${nobody.gid}`, '--clear-groups', '--inh-caps=-all', '--bounding-set=-all', '--no-new-privs', '--']
}
