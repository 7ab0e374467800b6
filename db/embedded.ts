import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chownSync, closeSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Log } from './connect.ts'
import { copyBinaries, findBinaries } from './embedded-binaries.ts'
import { openLog, publish, removeUnfinished, serverOptions, tailOf } from './embedded-cluster.ts'
import { createDatabase, isReady, urlOf } from './embedded-connection.ts'
import { isHeld, takeLease } from './embedded-lease.ts'
import type { Lease } from './embedded-lease.ts'
import { choosePlaces, sharedBase } from './embedded-places.ts'
import type { Owner, Places } from './embedded-places.ts'
import { removeStaleLock, serverProcess, waitForEnd } from './embedded-process.ts'

export interface EmbeddedOptions {
  /** Data directory, absolute. */
  readonly data: string
  readonly log?: Log | undefined
  /** False only for tests: a crash of the machine may lose everything. */
  readonly durable?: boolean
}

export interface Embedded {
  /** For `pg`; a database of its own, over a unix socket. */
  readonly url: string
  /** The named pipe whose holders keep the server up. */
  readonly lease: string
  /** Leaves the server; it stops when its last user has left, and then this waits for it. Idempotent. */
  close (): Promise<void>
}

/**
 * A private Postgres beneath `data`: joins the one that runs there, or starts it. Any number of processes may do so
 * at once. The server ends when the last of them has closed or died. Throws when this platform has no binaries.
 */
export async function openEmbedded (options: EmbeddedOptions): Promise<Embedded> {
  const server = new Server(options)
  try {
    await server.join()
  } catch (error) {
    await server.close()
    throw error
  }
  return server
}

/** Crash recovery after a power cut may take this long; a server that shuts down, too. */
const PATIENCE_MS = 120_000
/** A server that runs without its watchdog (someone killed that) is used as it is after this long. */
const ORPHAN_MS = 10_000
const WATCH_MS = 2_000

/**
 * Runs the server and stops it (SIGINT: fast shutdown) when the lease has no holder left. Reads the lease on 3; holds
 * it open itself on 4 until the process that starts it has said on its input that it holds it, or is gone.
 * A shell gives background jobs /dev/null for input, hence the copy on 5.
 */
const WATCHDOG = `lease=$1; shift
exec 4<>"$lease" 3<"$lease" 5<&0
"$@" </dev/null 3<&- 4<&- 5<&- &
server=$!
( read -r _ <&5; exec 4<&- 5<&-; while read -r _ <&3; do :; done; kill -INT $server ) &
watcher=$!
exec </dev/null 3<&- 4<&- 5<&-
wait $server; status=$?
kill $watcher 2>/dev/null
exit $status`

class Server implements Embedded {
  readonly url: string
  readonly lease: string
  readonly #places: Places
  readonly #log: Log | undefined
  readonly #durable: boolean
  readonly #watch: NodeJS.Timeout
  #lease: Lease | undefined
  #joining: Promise<void> | undefined
  #closing: Promise<void> | undefined
  /** `stray`: it runs without a watchdog, so there is no lease to watch. */
  #state: 'new' | 'joined' | 'stray' = 'new'

  constructor ({ data, log, durable = true }: EmbeddedOptions) {
    this.#log = log
    this.#durable = durable
    this.#places = choosePlaces(data, mayEnter, (facts, message) => log?.warn(facts, message))
    this.lease = join(this.#places.run, 'lease')
    this.url = urlOf(this.#places.run)
    this.#watch = setInterval(() => this.#rejoin(), WATCH_MS).unref()
  }

  /** Joins or starts. Concurrent callers share one attempt. */
  join (): Promise<void> {
    this.#joining ??= this.#join().finally(() => { this.#joining = undefined })
    return this.#joining
  }

  close (): Promise<void> {
    this.#closing ??= this.#leave()
    return this.#closing
  }

  async #join (): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS
    let strays = 0
    while (Date.now() < deadline) {
      if (await this.#adopt()) return this.#joined('joined')
      const running = serverProcess(this.#places.cluster)
      if (running === undefined) {
        if (await this.#start()) return this.#joined('joined')
      } else if (strays++ > ORPHAN_MS / 50 && await isReady(this.#places.run)) {
        return this.#joined('stray')
      } else await sleep(50)
    }
    throw new Error(`The embedded database in ${this.#places.cluster} did not become ready within ${PATIENCE_MS / 1000} s.\n${tailOf(this.#places.log)}`)
  }

  #joined (state: 'joined' | 'stray'): void {
    this.#state = state
    if (state === 'stray') this.#log?.warn({ directory: this.#places.cluster }, 'embedded database: it runs without its watchdog, so it will not stop by itself')
  }

  /** True when a server runs, is ready, and will not stop while we use it. */
  async #adopt (): Promise<boolean> {
    const lease = takeLease(this.lease)
    if (lease === undefined) return false
    const deadline = Date.now() + PATIENCE_MS
    while (lease.held() && Date.now() < deadline) {
      if (await isReady(this.#places.run)) {
        await createDatabase(this.#places.run)
        if (!lease.held()) break
        this.#lease = lease
        return true
      }
      await sleep(25)
    }
    lease.release()
    return false
  }

  /** False when another process's server was quicker. Throws when the server cannot start. */
  async #start (): Promise<boolean> {
    const { cluster, owner, log } = this.#places
    const native = runnableBinaries(owner)
    if (!existsSync(join(cluster, 'PG_VERSION'))) await initialise(native, this.#places, this.#durable)
    removeStaleLock(cluster)
    makeLease(this.lease, owner)
    const child = spawn('/bin/sh', ['-c', WATCHDOG, 'portcullis-postgres', this.lease, join(native, 'bin', 'postgres'), ...serverOptions(this.#places, this.#durable)], {
      ...asOwner(owner), cwd: '/', detached: true, stdio: ['pipe', ...twice(openLog(log))],
    })
    child.unref()
    return await this.#handOver(child)
  }

  /** Keeps the watchdog's input open until we hold the lease, so that our death in between ends the server, too. */
  async #handOver (child: ChildProcess): Promise<boolean> {
    const ended = new Promise<string>(resolve => child.once('error', error => resolve(error.message)).once('exit', code => resolve(`exit code ${code}`)))
    child.stdin?.on('error', () => {})
    let why: string | undefined
    ended.then(text => { why = text }).catch(() => {})
    if (await this.#adoptSoon(() => why !== undefined)) {
      child.stdin?.end('\n')
      this.#log?.info({ directory: this.#places.cluster, pid: child.pid }, 'embedded database started')
      return true
    }
    child.stdin?.end()
    why ??= await ended
    if (serverProcess(this.#places.cluster) !== undefined || isHeld(this.lease)) return false
    throw new Error(`The embedded database in ${this.#places.cluster} did not start (${why}). Mend it, or set DATABASE_URL.\n${tailOf(this.#places.log)}`)
  }

  async #adoptSoon (ended: () => boolean): Promise<boolean> {
    while (!ended()) {
      if (await this.#adopt()) return true
      await sleep(10)
    }
    return false
  }

  /** A server that was killed under us is started again; the pool finds it at the same address. */
  #rejoin (): void {
    if (this.#state !== 'joined' || this.#joining !== undefined || this.#closing !== undefined || this.#lease?.held() === true) return
    this.#lease?.release()
    this.#lease = undefined
    this.#log?.error({ directory: this.#places.cluster }, 'embedded database: the server is gone; starting it again')
    this.join().catch((err: unknown) => this.#log?.error({ err }, 'embedded database: it could not be started again'))
  }

  async #leave (): Promise<void> {
    clearInterval(this.#watch)
    await this.#joining?.catch(() => {})
    if (this.#lease === undefined) return
    const server = serverProcess(this.#places.cluster)
    this.#lease.release()
    this.#lease = undefined
    if (server !== undefined && !isHeld(this.lease)) await waitForEnd(server)
  }
}

/** As root, a shell of the owner is asked; it sees what Postgres would see. */
function mayEnter (directory: string, owner: Owner): boolean {
  return spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], { ...asOwner(owner), cwd: '/', stdio: 'ignore' }).status === 0
}

function runnableBinaries (owner: Owner | undefined): string {
  const native = findBinaries()
  if (owner === undefined || mayEnter(join(native, 'bin'), owner)) return native
  return copyBinaries(native, sharedBase)
}

function asOwner (owner: Owner | undefined): { uid?: number, gid?: number, env: NodeJS.ProcessEnv } {
  return { ...owner, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } }
}

/** Into a directory of its own, then renamed: neither a crash nor a second process can leave half a cluster. */
async function initialise (native: string, { cluster, owner, log }: Places, durable: boolean): Promise<void> {
  const unfinished = `${cluster}.init-${process.pid}`
  removeUnfinished(cluster)
  mkdirSync(unfinished, { mode: 0o700 })
  if (owner !== undefined) chownSync(unfinished, owner.uid, owner.gid)
  const output = openLog(log)
  const options = ['-D', unfinished, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C', '--no-instructions', ...(durable ? [] : ['--no-sync'])]
  const child = spawn(join(native, 'bin', 'initdb'), options, { ...asOwner(owner), cwd: '/', stdio: ['ignore', ...twice(output)] })
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('exit', resolve))
  if (code !== 0) {
    rmSync(unfinished, { recursive: true, force: true })
    throw new Error(`The embedded database could not be created in ${cluster} (initdb ended with ${code}). Mend it, or set DATABASE_URL.\n${tailOf(log)}`)
  }
  publish(unfinished, cluster)
}

function makeLease (path: string, owner: Owner | undefined): void {
  if (existsSync(path)) return
  const { status, stderr } = spawnSync('mkfifo', ['-m', '600', path], { ...asOwner(owner), cwd: '/' })
  if (status !== 0 && !existsSync(path)) throw new Error(`No named pipe could be made in ${dirname(path)}: ${String(stderr).trim()}. Set PORTCULLIS_DATA to a local directory, or set DATABASE_URL.`)
}

function twice (descriptor: number): [number, number] {
  // The child has copies of its own from the spawn that follows in this turn.
  setImmediate(() => closeSync(descriptor))
  return [descriptor, descriptor]
}
