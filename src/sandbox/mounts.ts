import type { Grant } from '../config/config.ts'
import { isWithin, targetProblem } from '../config/grants.ts'
import { SandboxError } from './sandbox-error.ts'

export interface Mount { readonly source: string, readonly target: string, readonly write: boolean }

/**
 * Everything of the host that a cell sees beside the system, in the order in which it is to be mounted: read-only
 * first, writable last, outer before inner. Pure; sources are real paths.
 * @param visible paths of the program itself, shown read-only where they are unless a grant shows them there already
 * @throws SandboxError for a target that hides the system, or that lies beneath a writable grant: bubblewrap before 0.12
 *   follows links that an upstream left there while it makes the mount point (GHSA-pxhw-h44j-8pfx)
 */
export function planMounts (visible: readonly string[], read: readonly Grant[], write: readonly Grant[]): Mount[] {
  const granted = [
    ...read.map(({ source, target }) => ({ source, target, write: false })),
    ...write.map(({ source, target }) => ({ source, target, write: true })),
  ]
  for (const mount of granted) refuseTarget(mount)
  const own = outermost(visible).filter((path) => !granted.some((mount) => shows(mount, path)))
  const mounts = [...own.map((path) => ({ source: path, target: path, write: false })), ...granted]
  for (const [index, mount] of mounts.entries()) refuseOverlap(mount, mounts.slice(0, index), mounts.slice(index + 1))
  return mounts.sort((left, right) => Number(left.write) - Number(right.write) || (left.target < right.target ? -1 : 1))
}

/** The mounts a target lies strictly beneath: its mount point must exist in them, since they are read-only. */
export function outerMounts (mount: Mount, mounts: readonly Mount[]): Mount[] {
  return mounts.filter((other) => other !== mount && isWithin(mount.target, other.target))
}

function refuseTarget ({ target }: Mount): void {
  const problem = targetProblem(target)
  if (problem !== undefined) throw new SandboxError(`Nothing can be mounted at ${target} inside the sandbox: it ${problem}.`, 'Choose another target, for example /data.')
}

function refuseOverlap (mount: Mount, before: readonly Mount[], after: readonly Mount[]): void {
  const twin = before.find(({ target }) => target === mount.target)
  if (twin !== undefined) throw new SandboxError(`${twin.source} and ${mount.source} would both be mounted at ${mount.target}.`)
  const writable = [...before, ...after].find((other) => other.write && isWithin(mount.target, other.target))
  if (writable !== undefined) throw new SandboxError(`${mount.source} would be mounted at ${mount.target}, beneath the writable ${writable.target}.`, 'Grant it beside, at another target.')
}

function shows ({ source, target }: Mount, path: string): boolean {
  return isWithin(path, source) && target + path.slice(source.length) === path
}

function outermost (paths: readonly string[]): string[] {
  const unique = [...new Set(paths)]
  return unique.filter((path) => !unique.some((other) => other !== path && isWithin(path, other)))
}
