import { existsSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Pid of the server of this cluster, also while it starts or stops; undefined when none runs. */
export function serverProcess (cluster: string): number | undefined {
  const pid = lockedBy(cluster)
  return pid !== undefined && isAlive(pid) && isPostgres(pid) ? pid : undefined
}

function lockedBy (cluster: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n', 1)[0])
    return Number.isInteger(pid) && pid > 1 ? pid : undefined
  } catch {
    return undefined
  }
}

/** After a crash the number in the lock file may belong to anything, and Postgres would refuse to start for ever. */
export function removeStaleLock (cluster: string): void {
  const pid = lockedBy(cluster)
  if (pid === undefined || !isAlive(pid) || isPostgres(pid)) return
  if (lockedBy(cluster) === pid) unlinkSync(join(cluster, 'postmaster.pid'))
}

/** Does a process with this number exist? */
export function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Is it a process of Postgres, ours or not? Where there is no /proc (macOS) every live process might be one. */
export function isPostgres (pid: number): boolean {
  if (!existsSync('/proc/self/comm')) return true
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('postgres')
  } catch {
    return false
  }
}

/** Waits for a server that is shutting down, half a minute at most. It gives its lock up a little before it ends. */
export async function waitForEnd (pid: number): Promise<void> {
  const deadline = Date.now() + 30_000
  while (isAlive(pid) && isPostgres(pid) && Date.now() < deadline) await sleep(10)
}
