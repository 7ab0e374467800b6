import { isLeashed } from './leash.ts'
import { commandLineOf, everyProcess, isFirstOfNamespace, parentOf } from './processes.ts'

/**
 * Ends what killed gateways left of cells that had not begun. A bwrap is two processes: one outside, which is killed with the
 * gateway, and the first one inside, which waits for it without ever noticing that it is gone (containers/bubblewrap#633).
 * A cell that lives has both, so it is never taken for one of these, whichever gateway it belongs to.
 */
export function endOrphans (): void {
  for (const pid of everyProcess().filter(isOrphan)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it is another user's
    }
  }
}

/** The first process of a namespace of ours, whose parent is not the one that made that namespace. */
function isOrphan (pid: number): boolean {
  if (!isLeashed(commandLineOf(pid)) || !isFirstOfNamespace(pid)) return false
  const parent = parentOf(pid)
  return parent !== 0 && !isLeashed(commandLineOf(parent))
}
