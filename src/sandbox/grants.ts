import { closeSync, constants, openSync, opendirSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Grant } from '../config/config.ts'
import { isWithin, sourceProblem } from '../config/grants.ts'
import type { Access } from '../config/grants.ts'
import { SandboxError } from './sandbox-error.ts'

/** Whom files are judged for: the user the cell's processes are, as the host's kernel sees it. */
export interface Owner { readonly uid: number, readonly gid: number }

/** What must stay out of every cell: the gateway's own files, and the home directory of its user. */
export interface Secrets { readonly protect: readonly string[], readonly home: string }

/** What a cell sees of the host at one place: an open handle, so that nobody can swap the source before it is mounted. */
export interface OpenMount { readonly handle: number, readonly source: string, readonly target: string, readonly write: boolean }

/**
 * The real source of a grant of the config, judged anew: what the config allowed may have become a link since.
 * @throws SandboxError when there is nothing, or when it would show what no upstream may see
 */
export function realGrant ({ source: written, target }: Grant, access: Access, { protect, home }: Secrets): Grant {
  const source = realPath(written)
  if (source === undefined) throw new SandboxError(`The grant ${written} does not exist.`, `Create it (mkdir -p ${written}), or take it out of sandbox: in upstreams.yaml.`)
  const problem = sourceProblem(source, access, { protect, homes: [home] })
  if (problem !== undefined) throw new SandboxError(`The grant ${written}${source === written ? '' : ` leads to ${source}, which`} ${problem}.`)
  refuseSockets(source)
  return { source, target }
}

/** Why a directory may not be shown as a whole even read-only for a program's sake; undefined when it may. Pure. */
export function tooBroad (path: string, { protect, home }: Secrets): string | undefined {
  if (path === '/') return 'it is the whole host'
  if (path === '/root' || dirname(path) === '/home' || path === '/home' || isWithin(home, path)) return 'it holds a home directory'
  if (path === join(home, '.local') || path === join(home, '.config')) return 'it holds the settings of all programs'
  if (['/opt', '/srv', '/var', '/mnt', '/media', '/tmp', '/var/tmp', '/etc'].includes(path)) return 'many programs share it'
  const own = protect.find((place) => isWithin(place, path) || isWithin(path, place))
  return own === undefined ? undefined : `the gateway's own ${own} is there`
}

/**
 * Opens the source of a mount without following a link at its end.
 * @throws SandboxError when it is no file or directory, was swapped meanwhile, or the cell's user cannot use it
 */
export function openMount (mount: { source: string, target: string, write: boolean }, owner: Owner | undefined): OpenMount {
  const handle = openHandle(mount.source)
  try {
    const stats = statSync(`/proc/self/fd/${handle}`)
    if (!stats.isFile() && !stats.isDirectory()) throw new SandboxError(`${mount.source} is neither a file nor a directory.`)
    if (owner !== undefined && !isUsable(stats, owner, mount.write)) throw unusable(mount, owner)
    return { handle, ...mount }
  } catch (error) {
    closeSync(handle)
    throw error
  }
}

/** Opens a socket of the gateway's own for a cell. */
export function openSocket (source: string, target: string): OpenMount {
  return { handle: openHandle(source), source, target, write: false }
}

/** The path without symbolic links, or undefined when there is nothing. */
export function realPath (path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

/** Not in node:fs: a handle that names a file without giving access to it. */
const O_PATH = 0o10000000
const maxEntriesLookedAt = 10_000

function openHandle (source: string): number {
  let handle: number
  try {
    handle = openSync(source, O_PATH | constants.O_NOFOLLOW)
  } catch (error) {
    throw new SandboxError(`${source} cannot be opened: ${error instanceof Error ? error.message : String(error)}.`, undefined, error)
  }
  if (readlinkSync(`/proc/self/fd/${handle}`) === source) return handle
  closeSync(handle)
  throw new SandboxError(`${source} became a link to another place while it was being opened.`)
}

/** A socket in a granted directory is a door to whatever listens behind it. */
function refuseSockets (source: string): void {
  if (!statSync(source).isDirectory()) return
  const directory = opendirSync(source)
  try {
    for (let seen = 0; seen < maxEntriesLookedAt; seen++) {
      const entry = directory.readSync()
      if (entry === null) return
      if (entry.isSocket()) throw new SandboxError(`The grant ${source} is refused: the socket ${entry.name} in it leads to a program outside the sandbox.`, 'Grant a directory without sockets.')
    }
  } finally {
    directory.closeSync()
  }
}

function isUsable (stats: Stats, { uid, gid }: Owner, write: boolean): boolean {
  const shift = stats.uid === uid ? 6 : stats.gid === gid ? 3 : 0
  const needed = (write ? 2 : 0) | 4 | (stats.isDirectory() ? 1 : 0)
  return (((stats.mode >> shift) & 7) & needed) === needed
}

function unusable ({ source, write }: { source: string, write: boolean }, { uid, gid }: Owner): SandboxError {
  const what = write ? 'written' : 'read'
  const how = write ? `chown -R ${uid}:${gid} ${source}` : `chmod -R o+rX ${source}`
  return new SandboxError(`${source} cannot be ${what} by user ${uid}, whom upstreams run as because the gateway itself is root.`, `Run ${how}, or run the gateway as the user who owns it.`)
}
