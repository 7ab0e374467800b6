import { closeSync, constants, openSync, readdirSync, readFileSync, readSync, rmSync, statSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'

/** The records of one start of one process. */
export interface Chain {
  /** uuid */
  readonly id: string
  /** Name of the gateway, for people who run several. */
  readonly node: string
  readonly openedAt: Date
}

/** One file of a spool: a header line, then one record a line, numbered from `first`. */
export interface Segment {
  readonly path: string
  readonly chain: Chain
  readonly first: number
  /** Where the records begin. */
  readonly start: number
  readonly owner: Owner
}

/** The process that writes a segment. */
export interface Owner {
  readonly host: string
  readonly pid: number
  /** When the process started, as the kernel counts; '' where it does not say (macOS). */
  readonly started: string
}

const SUFFIX = '.jsonl'

/** Creates the file for the records from number `first` on; the descriptor is open for writing, at offset `start`. */
export function createSegment (directory: string, chain: Chain, first: number): { readonly segment: Segment, readonly descriptor: number } {
  const path = freePath(directory, chain, first)
  const owner = ownerHere()
  const header = JSON.stringify({ portcullis: 'ledger', chain: chain.id, node: chain.node, openedAt: chain.openedAt.toISOString(), first, ...owner }) + '\n'
  const descriptor = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    const start = writeSync(descriptor, header)
    if (start !== Buffer.byteLength(header)) throw new Error('the disk is full')
    return { segment: { path, chain, first, start, owner }, descriptor }
  } catch (error) {
    closeSync(descriptor)
    rmSync(path, { force: true }) // half a header would be taken for a segment that cannot be read
    throw error
  }
}

/** This process, as its files name it. */
export function ownerHere (): Owner {
  return { host: hostname(), pid: process.pid, started: startOf(process.pid) ?? '' }
}

/** A segment that replaces an unreliable one of the same number sorts after it. */
function freePath (directory: string, chain: Chain, first: number): string {
  const taken = new Set(readdirSync(directory))
  const stem = `${chain.openedAt.getTime().toString(36)}-${chain.id}-${String(first).padStart(12, '0')}`
  let name = stem + SUFFIX
  for (let copy = 2; taken.has(name); copy++) name = `${stem}~${copy}${SUFFIX}`
  return join(directory, name)
}

/** Every readable segment of the directory, oldest chain first, in the order of its records. `unreadable` gets the rest. */
export function listSegments (directory: string, unreadable: (path: string) => void): Segment[] {
  const segments: Segment[] = []
  for (const name of readdirSync(directory).filter(name => name.endsWith(SUFFIX)).sort()) {
    const path = join(directory, name)
    const segment = readHeader(path)
    if (segment !== undefined) segments.push(segment)
    else unreadable(path)
  }
  return segments
}

const HEADER_BYTES = 4096

function readHeader (path: string): Segment | undefined {
  const descriptor = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(HEADER_BYTES)
    const bytes = readSync(descriptor, buffer, 0, HEADER_BYTES, 0)
    const end = buffer.subarray(0, bytes).indexOf(10)
    return end < 0 ? undefined : parseHeader(path, buffer.toString('utf8', 0, end), end + 1)
  } finally {
    closeSync(descriptor)
  }
}

function parseHeader (path: string, text: string, start: number): Segment | undefined {
  try {
    const header = JSON.parse(text) as Record<string, unknown>
    const { portcullis, chain, node, openedAt, first, host, pid, started } = header
    if (portcullis !== 'ledger' || typeof chain !== 'string' || typeof node !== 'string' || typeof openedAt !== 'string' || typeof first !== 'number') return undefined
    return { path, chain: { id: chain, node, openedAt: new Date(openedAt) }, first, start, owner: { host: String(host), pid: Number(pid), started: String(started) } }
  } catch {
    return undefined
  }
}

/** Chains that this very process writes. */
export const ownedHere = new Set<string>()

/** A living owner touches its file this often. */
export const HEARTBEAT_MS = 5_000
const SILENCE_MS = 3 * HEARTBEAT_MS

/**
 * Does the process that wrote this file still live? On its own host that is known exactly; of a process on
 * another host (a container that shares the volume) only the heartbeat tells.
 */
export function isOwned ({ path, chain, owner }: Pick<Segment, 'path' | 'owner'> & { readonly chain: Pick<Chain, 'id'> }): boolean {
  if (owner.host === hostname() && owner.started !== '') {
    if (owner.pid === process.pid && isMainThread) return ownedHere.has(chain.id)
    // A container is process 1 again after a restart. Which ledgers are open is known to the main thread only.
    if (startOf(owner.pid) !== owner.started) return false
    if (owner.pid !== process.pid) return true
  }
  return Date.now() - statSync(path).mtimeMs < SILENCE_MS
}

/** Field 22 of /proc/PID/stat (proc_pid_stat(5)); the second field is in parentheses and may hold anything. */
function startOf (pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
