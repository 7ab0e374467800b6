import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { basename } from 'node:path'

import type { Database } from '../../db/connect.ts'
import { isPostgres } from '../../db/embedded-process.ts'
import { standBack } from '../sandbox/rank.ts'

/**
 * Nice value of what brings records to the database: where processors are wanted by everybody, each of it has a tenth of
 * what a call has, and where they are not, all it wants. A call is waited for by somebody, its record in the database by nobody.
 */
export const NICE = 10
/** The kernel takes few changes of sessions at a time from a user: one that was not taken is tried again after this long, in milliseconds. */
const AGAIN_MS = 250

/**
 * Lets the server's side of this pool work behind everything else on the machine, from a moment after each connection is
 * made. Only for the embedded server, whose processes are ours. Best effort: where the system does not let us, they work as they did.
 */
export function giveWay (pool: Database['pool']): void {
  const backends = new Set<number>()
  const told = (): void => standBack([...backends].filter(isPostgres), NICE)
  pool.on('connect', client => {
    const pid = processOf(client)
    if (pid === undefined || !isPostgres(pid)) return
    backends.add(pid)
    lower(pid) // counts where Linux does not go by sessions
    told()
  })
  pool.on('remove', client => { backends.delete(processOf(client) ?? 0) })
  setInterval(told, AGAIN_MS).unref()
}

/** The same for the thread that calls this. Linux alone has nice values of threads; elsewhere nothing happens. */
export function giveWayHere (): void {
  try { lower(Number(basename(readlinkSync('/proc/thread-self')))) } catch {}
}

/** The process on the other side of a connection: pg knows it, its types do not. */
function processOf (client: object): number | undefined {
  return 'processID' in client && typeof client.processID === 'number' ? client.processID : undefined
}

function lower (id: number): void {
  try { setPriority(id, NICE) } catch {}
}
