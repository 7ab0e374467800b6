import { createHash } from 'node:crypto'
import { chownSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { serverProcess } from './embedded-process.ts'
import { makeDirectory } from './make-directory.ts'

/** Where one embedded server keeps its things, and as whom it runs. */
export interface Places {
  readonly cluster: string
  /** Directory of the socket and the lease: 0700, so whoever may not enter cannot connect. */
  readonly run: string
  readonly log: string
  /** Undefined: as ourselves. */
  readonly owner: Owner | undefined
}

export interface Owner { readonly uid: number, readonly gid: number }

/** Tells whether `owner` may enter a directory; asks the kernel, since modes alone do not know of ACLs. */
export type MayEnter = (directory: string, owner: Owner) => boolean

/** Postgres refuses to run as root. The user `nobody` exists everywhere and owns nothing. */
const nobody: Owner = { uid: 65534, gid: 65534 }

export const sharedBase = '/var/lib/portcullis'

const SOCKET = '.s.PGSQL.5432'
/** sizeof(sun_path) less the terminating zero; macOS has 104. */
const SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107

/** Chooses the places for the data directory `data`, creating what has to exist. `note` is told about surprises. */
export function choosePlaces (data: string, mayEnter: MayEnter, note: (facts: object, message: string) => void): Places {
  const asRoot = process.getuid?.() === 0
  makeDirectory(data, asRoot ? 0o711 : 0o700, 'Set PORTCULLIS_DATA to a directory that this user may make and write to.')
  const home = asRoot ? enterableHome(data, mayEnter, note) : data
  const cluster = join(home, 'pg18')
  const owner = asRoot ? ownerOf(cluster) : undefined
  return { cluster, run: chooseRun(home, cluster, owner, mayEnter), log: join(home, 'pg18.log'), owner }
}

function ownerOf (cluster: string): Owner {
  if (!existsSync(cluster)) return nobody
  const { uid, gid } = statSync(cluster)
  return uid === 0 ? nobody : { uid, gid }
}

/** `data` itself where the owner of the cluster can get there, else a directory of its own below /var/lib. */
function enterableHome (data: string, mayEnter: MayEnter, note: (facts: object, message: string) => void): string {
  const moved = join(sharedBase, digestOf(data))
  const settled = belongsTo(data, moved)
  if (!settled && mayEnter(data, ownerOf(join(data, 'pg18')))) return data
  if (existsSync(join(data, 'pg18', 'PG_VERSION'))) {
    throw new Error(`The embedded database in ${data} cannot be reached by its owner: a directory above it is closed to other users. Open it (chmod o+x), or set DATABASE_URL.`)
  }
  if (!settled) settleIn(data, moved, note)
  note({ directory: moved }, `embedded database: ${data} is closed to the unprivileged user that Postgres runs as, so its files are in ${moved}`)
  return moved
}

/** The name of the data directory's own file that ties it to a directory below /var/lib: gone with the data directory. */
const TIE = 'pg18.location'

function belongsTo (data: string, moved: string): boolean {
  const tie = readIfThere(join(data, TIE))
  return tie !== undefined && tie === readIfThere(join(moved, TIE))
}

/** A directory left by an earlier data directory of the same path is set aside, never taken over. */
function settleIn (data: string, moved: string, note: (facts: object, message: string) => void): void {
  mkdirSync(sharedBase, { recursive: true, mode: 0o755 })
  removeOrphans()
  const tie = JSON.stringify({ data, cluster: moved, since: new Date().toISOString(), pid: process.pid }) + '\n'
  if (!claim(join(data, TIE), tie) && settledByAnother(data, moved)) return
  if (existsSync(moved)) {
    const aside = `${moved}.${Date.now()}`
    renameSync(moved, aside)
    note({ directory: aside }, `embedded database: ${data} is new, but a database of an earlier one was found; it was set aside in ${aside}`)
  }
  mkdirSync(moved, { mode: 0o711 })
  writeFileSync(join(data, TIE), tie, { mode: 0o600 })
  writeFileSync(join(moved, TIE), tie, { mode: 0o600 })
}

/** Databases of data directories for temporary use (tests, clones to try something out) that are gone. */
function removeOrphans (): void {
  for (const name of readdirSync(sharedBase)) {
    const { data } = JSON.parse(readIfThere(join(sharedBase, name, TIE)) ?? '{}') as { data?: string }
    if (data === undefined || !data.startsWith(join(tmpdir(), '/')) || existsSync(data)) continue
    if (serverProcess(join(sharedBase, name, 'pg18')) === undefined) rmSync(join(sharedBase, name), { recursive: true, force: true })
  }
}

function claim (path: string, tie: string): boolean {
  try {
    writeFileSync(path, tie, { mode: 0o600, flag: 'wx' })
    return true
  } catch (error) {
    if (existsSync(path)) return false
    throw error
  }
}

/** Two processes may start on a new data directory at once: the second gives the first two seconds to finish. */
function settledByAnother (data: string, moved: string): boolean {
  const nobodyWakes = new Int32Array(new SharedArrayBuffer(4))
  for (let tries = 0; tries < 40 && !belongsTo(data, moved); tries++) Atomics.wait(nobodyWakes, 0, 0, 50)
  return belongsTo(data, moved)
}

function chooseRun (home: string, cluster: string, owner: Owner | undefined, mayEnter: MayEnter): string {
  const running = runningIn(cluster)
  if (running !== undefined) return running
  const near = join(home, 'pg18.run')
  if (fitsSocket(near)) return ownDirectory(near, owner)
  for (const base of [tmpdir(), '/tmp']) {
    const far = join(base, `portcullis-${digestOf(cluster)}`)
    if (fitsSocket(far) && (owner === undefined || mayEnter(base, owner))) return ownDirectory(far, owner)
  }
  throw new Error(`No directory for the socket of the embedded database: ${near} and ${tmpdir()} are too long (${SOCKET_PATH_BYTES} bytes at most). Set TMPDIR or PORTCULLIS_DATA to a shorter path, or set DATABASE_URL.`)
}

/** The socket directory a server says it uses (fifth line of postmaster.pid): another TMPDIR must not hide it. */
function runningIn (cluster: string): string | undefined {
  const directory = readIfThere(join(cluster, 'postmaster.pid'))?.split('\n')[4]
  return directory !== undefined && directory !== '' && existsSync(directory) ? directory : undefined
}

/** In a directory for temporary files somebody else may have been there first. */
function ownDirectory (path: string, owner: Owner | undefined): string {
  try {
    mkdirSync(path, { mode: 0o700 })
    if (owner !== undefined) chownSync(path, owner.uid, owner.gid)
  } catch (error) {
    if (!existsSync(path)) throw error
  }
  const found = lstatSync(path)
  const expected = [process.getuid?.(), owner?.uid]
  if (!found.isDirectory() || !expected.includes(found.uid) || (found.mode & 0o077) !== 0) {
    throw new Error(`${path} is not a private directory of ours: remove it, or set DATABASE_URL.`)
  }
  if (owner !== undefined && found.uid !== owner.uid) chownSync(path, owner.uid, owner.gid)
  return path
}

function fitsSocket (directory: string): boolean {
  return Buffer.byteLength(join(directory, SOCKET)) <= SOCKET_PATH_BYTES
}

function digestOf (path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 12)
}

function readIfThere (path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
