import { readlinkSync, writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import { basename } from 'node:path'

import type pg from 'pg'

import { isPostgres } from './embedded-process.ts'

/**
 * Nice value of what brings records to the database: where processors are wanted by everybody, each of it has a tenth of
 * what a call has, and where they are not, all it wants. A call is waited for by somebody, its record in the database by nobody.
 */
export const NICE = 10

/**
 * Lets the server's side of this pool work behind everything else on the machine, each connection from the moment it is
 * made. Only for the embedded server, whose processes are ours. Best effort: where the system does not let us, they work as they did.
 */
export function giveWay (pool: pg.Pool): void {
  // The process on the other side; pg knows it, its types do not.
  pool.on('connect', (client: pg.PoolClient & { readonly processID?: number | null }) => {
    if (client.processID != null && isPostgres(client.processID)) lowerProcess(client.processID)
  })
}

/** The same for the thread that calls this. Linux alone has nice values of threads; elsewhere nothing happens. */
export function giveWayHere (): void {
  try { setPriority(Number(basename(readlinkSync('/proc/thread-self'))), NICE) } catch {}
}

/** Linux may weigh sessions against each other, and a process of Postgres is a session of its own: then its nice value alone says nothing. See sched(7), "The autogroup feature". */
function lowerProcess (pid: number): void {
  try { setPriority(pid, NICE) } catch {}
  try { writeFileSync(`/proc/${pid}/autogroup`, String(NICE)) } catch {}
}
