import { chmodSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Removes what a cell left behind, also below directories that it shut to their owner, as caches of packages are. Never
 * throws: a server chooses what it leaves, and what cannot be removed stays where it is.
 */
export function removeTree (folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true })
  } catch {
    try {
      unlock(folder)
      rmSync(folder, { recursive: true, force: true })
    } catch {
      // it holds what is not ours, or a path that is too long for the system
    }
  }
}

function unlock (folder: string): void {
  chmodSync(folder, 0o700)
  for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) unlock(join(folder, entry.name)) // a link is none
}
