import { closeSync, constants, fdatasync, fdatasyncSync, futimesSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

import { isOwned, ownerHere } from './segment.ts'
import type { Chain, Owner } from './segment.ts'

/** A gap as it stands in the file: the id of its record, and what that will say. */
export interface MarkedGap { readonly record: string, readonly detail: object }

/** A file that an earlier process left. `gaps` undefined: it cannot be read, so what it said is not known. */
export interface LeftGaps { readonly path: string, readonly chain: string, readonly gaps: readonly MarkedGap[] | undefined }

const SUFFIX = '.gap'
/** More than the fullest gaps take. Written ahead, so that a disk that is full later has this room. */
const ROOM = 384 * 1024

/** Where the gaps of this process are marked until they are on the record: on the disk, so that they outlive the process. */
export class GapFile {
  readonly #path: string
  readonly #header: object
  readonly #descriptor: number
  #closed = false

  /** Takes the room it may need. Throws when there is none. */
  constructor (directory: string, { id, node, openedAt }: Chain) {
    this.#path = join(directory, `${id}${SUFFIX}`)
    this.#header = { portcullis: 'gap', chain: id, node, openedAt: openedAt.toISOString(), ...ownerHere() }
    this.#descriptor = openSync(this.#path, constants.O_WRONLY | constants.O_CREAT, 0o600)
    try {
      writeFully(this.#descriptor, Buffer.alloc(ROOM, ' '))
      this.mark([])
      fdatasyncSync(this.#descriptor)
    } catch (error) {
      this.close(true)
      throw error
    }
  }

  /** In the kernel's hands when it returns. Throws when the disk does not take it. */
  mark (gaps: readonly MarkedGap[]): void {
    const text = Buffer.from(`${JSON.stringify({ ...this.#header, gaps })}\n`)
    if (text.length > ROOM) throw new Error(`the gaps take ${text.length} bytes, more than their file has`)
    writeFully(this.#descriptor, text)
  }

  /** `done` runs when what was marked is on the device, or is not. */
  sync (done: (error?: Error) => void): void {
    fdatasync(this.#descriptor, error => done(error ?? undefined))
  }

  /** Shows that the owner lives. */
  touch (): void {
    const now = new Date()
    if (!this.#closed) futimesSync(this.#descriptor, now, now)
  }

  /** Idempotent. `empty`: every gap is on the record. */
  close (empty: boolean): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#descriptor)
    if (empty) rmSync(this.#path, { force: true })
  }
}

/** What processes left that are gone. */
export function leftGaps (directory: string): LeftGaps[] {
  return readdirSync(directory).filter(name => name.endsWith(SUFFIX)).sort().flatMap((name) => {
    const path = join(directory, name)
    const id = name.slice(0, -SUFFIX.length)
    const read = readMarked(path)
    const owner = read?.owner ?? { host: '', pid: 0, started: '' }
    return isOwned({ path, chain: { id }, owner }) ? [] : [{ path, chain: id, gaps: read?.gaps }]
  })
}

function readMarked (path: string): { readonly owner: Owner, readonly gaps: readonly MarkedGap[] } | undefined {
  try {
    const [line = ''] = readFileSync(path, 'utf8').split('\n', 1)
    const { host, pid, started, gaps } = JSON.parse(line) as Record<string, unknown>
    if (!Array.isArray(gaps) || !gaps.every(isMarked)) return undefined
    return { owner: { host: String(host), pid: Number(pid), started: String(started) }, gaps }
  } catch {
    return undefined
  }
}

function isMarked (value: unknown): value is MarkedGap {
  const { record, detail } = typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
  return typeof record === 'string' && typeof detail === 'object' && detail !== null
}

function writeFully (descriptor: number, buffer: Buffer): void {
  for (let at = 0; at < buffer.length;) {
    const written = writeSync(descriptor, buffer, at, buffer.length - at, at)
    if (written === 0) throw new Error('the disk is full')
    at += written
  }
}
