import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

import type { Places } from './embedded-places.ts'
import { isAlive } from './embedded-process.ts'

/** No TCP; small, since the gateway is its only client; minimal WAL, since nobody replicates it. */
export function serverOptions ({ cluster, run }: Places, durable: boolean): string[] {
  const settings = {
    listen_addresses: '',
    unix_socket_directories: run,
    unix_socket_permissions: '0700',
    max_connections: '60',
    io_method: 'sync',
    wal_level: 'minimal',
    max_wal_senders: '0',
    max_wal_size: '256MB',
    log_checkpoints: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(durable ? {} : { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' }),
  }
  return ['-D', cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}

/** Gives a finished cluster its name. A second process that made one at the same time throws its own away. */
export function publish (unfinished: string, cluster: string): void {
  try {
    renameSync(unfinished, cluster)
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    if (!existsSync(join(cluster, 'PG_VERSION'))) throw error
    return
  }
  const parent = openSync(dirname(cluster), 'r')
  fsyncSync(parent)
  closeSync(parent)
}

/** Removes what processes that died while they made a cluster left. */
export function removeUnfinished (cluster: string): void {
  for (const name of readdirSync(dirname(cluster))) {
    const [, pid] = /\.init-(\d+)$/.exec(name) ?? []
    if (!name.startsWith(basename(cluster)) || pid === undefined) continue
    if (Number(pid) === process.pid || !isAlive(Number(pid))) rmSync(join(dirname(cluster), name), { recursive: true, force: true })
  }
}

const LOG_BYTES = 4 * 1024 * 1024

/** A descriptor to append to the server's log; a log that has grown large starts anew. */
export function openLog (path: string): number {
  const descriptor = openSync(path, 'a', 0o600)
  if (fstatSync(descriptor).size > LOG_BYTES) ftruncateSync(descriptor)
  return descriptor
}

/** The last lines of the server's log, for an error message. */
export function tailOf (log: string): string {
  return existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').slice(-8).join('\n') : ''
}
