import fs from 'node:fs'

import type { Chain, Segment } from './segment.ts'
import { SegmentFile } from './segment-file.ts'
import type { Io } from './segment-file.ts'

/** How far a segment can be read: what lies below `end` will not change. */
export interface Progress {
  readonly segment: Segment
  readonly end: number
  /** Number of the last record below `end`. */
  readonly last: number
  /** Nothing will be added. */
  readonly sealed: boolean
  /** The disk is full: nothing of it may stay when it is in the database, but the header. */
  readonly roomNeeded?: boolean | undefined
}

export interface SpoolOptions {
  readonly directory: string
  readonly chain: Chain
  /** fsync: `durable` waits for the device. os: for the kernel, which survives a crash of this process only. */
  readonly durability: 'fsync' | 'os'
  readonly segmentBytes?: number
  /** Told after each write. */
  readonly onProgress: (progress: Progress) => void
  readonly io?: Io
}

const SEGMENT_BYTES = 16 * 1024 * 1024

/** The end of a spool: the segment that records go to, and how much of what was written is certain to stay. */
export class SpoolTail {
  readonly #options: SpoolOptions
  readonly #segmentBytes: number
  #file: SegmentFile
  /** Number of the last record that was written. */
  #last = 0
  /** The same for what is certain to stay (on the device, or for `os` in the kernel's hands), and where it ends. */
  #safe = 0
  #safeEnd: number
  /** Written since the last successful fdatasync, kept in case that one fails. */
  #unsynced: Buffer[] = []
  /** The file lacks some of what is unsynced: writing it again failed half-way. */
  #incomplete = false

  constructor (options: SpoolOptions) {
    this.#options = options
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES
    this.#file = this.#createFile()
    this.#safeEnd = this.#file.end
  }

  get last (): number {
    return this.#last
  }

  /** The next record belongs in another segment. */
  get full (): boolean {
    return this.#file.closed || this.#file.end >= this.#segmentBytes
  }

  /** Some of what was written is not certain to stay. */
  get unsafe (): boolean {
    return this.#unsynced.length > 0
  }

  /** The segment lacks nothing that was written. */
  get complete (): boolean {
    return !this.#incomplete
  }

  /** All of these lines, or none and an error. */
  write (group: Buffer, lines: number): void {
    this.#file.write(group)
    this.#last += lines
    if (this.#options.durability === 'fsync') this.#unsynced.push(group)
    else this.#markSafe(this.#last, this.#file.end)
    this.#report(false)
  }

  /** `done` runs when what was written so far is on the device, or is not. */
  sync (done: (error: Error | undefined) => void): void {
    const last = this.#last
    const end = this.#file.end
    const groups = this.#unsynced.length
    this.#file.sync((error) => {
      if (error !== null && error !== undefined) return done(error)
      this.#markSafe(last, end)
      this.#unsynced = this.#unsynced.length === groups ? [] : this.#unsynced.slice(groups)
      done(undefined)
    })
  }

  /** Goes on in a new file right behind what is safe; records that were written after that are written again. */
  replace (): void {
    const file = this.#createFile()
    this.#end(false)
    this.#file = file
    this.#safeEnd = file.end
    this.#incomplete = true
    for (const group of this.#unsynced) file.write(group)
    this.#incomplete = false
    this.#report(false)
  }

  /**
   * Lets go of the segment before there is another. On a disk that is smaller than a segment there is no room until this
   * one is in the database and gone. Not while anything in it is unsafe.
   */
  release (): void {
    if (!this.unsafe && !this.#file.empty) this.#end(true)
  }

  /** Shows that the owner lives. */
  touch (): void {
    this.#file.touch()
  }

  close (): void {
    if (this.#file.closed) return
    this.#file.close(this.#file.end)
    this.#report(true)
  }

  #end (roomNeeded: boolean): void {
    if (this.#file.closed) return
    // Closed first: whoever is told may cut it off.
    this.#file.close(this.#safeEnd)
    this.#options.onProgress({ segment: this.#file.segment, end: this.#safeEnd, last: this.#safe, sealed: true, roomNeeded })
  }

  #createFile (): SegmentFile {
    const { directory, chain, durability, io = fs } = this.#options
    return new SegmentFile({ directory, chain, first: this.#safe + 1, durable: durability === 'fsync', io })
  }

  #markSafe (last: number, end: number): void {
    this.#safe = last
    this.#safeEnd = end
  }

  #report (sealed: boolean): void {
    this.#options.onProgress({ segment: this.#file.segment, end: this.#file.end, last: this.#last, sealed })
  }
}
