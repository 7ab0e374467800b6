import fs from 'node:fs'

import { createSegment } from './segment.ts'
import type { Chain, Segment } from './segment.ts'

/** The system calls that fail on a bad disk; a test replaces them. */
export type Io = Pick<typeof fs, 'writeSync' | 'fdatasync' | 'fsyncSync'>

export interface SegmentFileOptions {
  readonly directory: string
  readonly chain: Chain
  /** Number of the first record. */
  readonly first: number
  /** It will be synced: made ready for that. */
  readonly durable: boolean
  readonly io: Io
}

/**
 * For fsync a segment is filled with zeros this far ahead: an fdatasync that changes neither the size of the file
 * nor its blocks needs no commit of the file system's journal, which takes half the CPU and most of the time.
 */
const ZEROS = Buffer.alloc(256 * 1024)

/** A segment that is being written: whole groups of records, one behind the other. */
export class SegmentFile {
  readonly segment: Segment
  readonly #durable: boolean
  readonly #io: Io
  readonly #descriptor: number
  #end: number
  /** How far it is filled with zeros. */
  #zeroed = 0
  #closed = false

  constructor ({ directory, chain, first, durable, io }: SegmentFileOptions) {
    const { segment, descriptor } = createSegment(directory, chain, first)
    this.segment = segment
    this.#descriptor = descriptor
    this.#durable = durable
    this.#io = io
    this.#end = segment.start
    try {
      if (durable) syncDirectory(directory, io)
    } catch (error) {
      // Tried again until the disk is well: neither the descriptors nor the files of these tries may pile up.
      fs.closeSync(descriptor)
      fs.rmSync(segment.path, { force: true })
      throw error
    }
  }

  /** Where the next group goes. */
  get end (): number {
    return this.#end
  }

  /** It holds no record yet. */
  get empty (): boolean {
    return this.#end === this.segment.start
  }

  get closed (): boolean {
    return this.#closed
  }

  /** All of it or nothing. A full disk may cut a write short without an error; what a failed one left is cut off. */
  write (group: Buffer): void {
    if (this.#durable && this.#end + group.length > this.#zeroed) this.#fillAhead()
    let done = 0
    try {
      while (done < group.length) {
        const bytes = this.#io.writeSync(this.#descriptor, group, done, group.length - done, this.#end + done)
        if (bytes === 0) throw new Error('the disk took nothing')
        done += bytes
      }
    } catch (error) {
      this.#cut(this.#end)
      throw error
    }
    this.#end += group.length
  }

  sync (done: (error: Error | null | undefined) => void): void {
    this.#io.fdatasync(this.#descriptor, done)
  }

  /** Shows that the owner lives. */
  touch (): void {
    if (this.#closed) return
    const now = new Date()
    fs.futimes(this.#descriptor, now, now, () => {})
  }

  /** Nothing behind `end` counts any more. Idempotent. */
  close (end: number): void {
    if (this.#closed) return
    this.#closed = true
    this.#cut(end)
    fs.closeSync(this.#descriptor)
  }

  /** When there is no room, the write itself will tell. */
  #fillAhead (): void {
    const from = Math.max(this.#zeroed, this.#end)
    try {
      this.#zeroed = from + this.#io.writeSync(this.#descriptor, ZEROS, 0, ZEROS.length, from)
    } catch {}
  }

  /** Best effort: a reader also stops where the next segment begins, and at zeros. */
  #cut (end: number): void {
    this.#zeroed = 0
    try { fs.ftruncateSync(this.#descriptor, end) } catch {}
  }
}

/** The new name itself has to survive a power cut. */
function syncDirectory (directory: string, io: Io): void {
  const descriptor = fs.openSync(directory, 'r')
  try {
    io.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}
