import { open, truncate, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'

import type { Progress } from './spool-tail.ts'

/** Consecutive records on their way to the database. */
export interface Batch {
  readonly first: number
  readonly count: number
  /** Newline-separated. Valid until the next call of `next`. */
  readonly lines: Buffer
  /** It begins a segment. */
  readonly opens: boolean
}

/** Where a shipper finds the records of one chain, in order. */
export interface Supply {
  /** Number of the last record there is. */
  readonly last: number
  /** Bytes of records that were not handed on yet. */
  readonly bytes: number
  /** The next records after number `head`, at most `rows`; undefined when there are none. `skipped` sees those before it. */
  next (head: number, rows: number, skipped: (batch: Batch) => void): Promise<Batch | undefined>
  /** The batch that `next` returned is in the database. */
  advance (batch: Batch): void
  /** Starts over with the oldest record there is; `next` skips what the database has. Returns its number. */
  rewind (): Promise<number | undefined>
  /** The chain is closed in the database: nothing of it is needed any more. */
  release (): Promise<void>
  close (): Promise<void>
}

/** The cost of a row falls up to there; as many bytes are as many ordinary records. */
export const BATCH_ROWS = 1500
export const BATCH_BYTES = 512 * 1024

interface Reader extends Progress {
  readonly handle: FileHandle
  /** Where the record number `next` begins. */
  offset: number
  next: number
}

/** What one chain has in its segments and the database does not have yet, read in order. */
export class Backlog implements Supply {
  #waiting: Progress[] = []
  #reader: Reader | undefined
  #buffer: Buffer = Buffer.allocUnsafe(BATCH_BYTES)
  #last = 0
  /** The newest segment whose records are all in the database: as long as it lies there, somebody will close the chain. */
  #done: string | undefined

  /** A segment is new, or has grown, or ends here. */
  note (progress: Progress): void {
    this.#last = progress.last
    if (this.#reader?.segment.path === progress.segment.path) {
      this.#reader = Object.assign(this.#reader, progress)
      return
    }
    const known = this.#waiting.findIndex(({ segment }) => segment.path === progress.segment.path)
    if (known < 0) this.#waiting.push(progress)
    else this.#waiting[known] = progress
  }

  get last (): number {
    return this.#last
  }

  get bytes (): number {
    const ahead = this.#reader === undefined ? 0 : Math.max(0, this.#reader.end - this.#reader.offset)
    return this.#waiting.reduce((sum, { segment, end }) => sum + end - segment.start, ahead)
  }

  async next (head: number, rows: number, skipped: (batch: Batch) => void): Promise<Batch | undefined> {
    for (;;) {
      const reader = this.#reader ?? await this.#openNext(head)
      if (reader === undefined) return undefined
      if (reader.next <= reader.last && reader.offset < reader.end) {
        const batch = await this.#read(reader, head, rows)
        if (batch.first > head) return batch
        skipped(batch)
        this.advance(batch)
      } else if (reader.sealed) {
        await this.#leave(reader)
      } else return undefined
    }
  }

  advance (batch: Batch): void {
    if (this.#reader === undefined) return
    this.#reader.offset += batch.lines.length
    this.#reader.next += batch.count
  }

  async rewind (): Promise<number | undefined> {
    if (this.#reader !== undefined) await this.#close(this.#reader)
    return this.#waiting[0]?.segment.first
  }

  async close (): Promise<void> {
    if (this.#reader !== undefined) await this.#close(this.#reader)
  }

  /** The chain is closed, so its last file goes too. */
  async release (): Promise<void> {
    if (this.#done !== undefined) await unlink(this.#done).catch(ignoreMissing)
    this.#done = undefined
  }

  async #openNext (head: number): Promise<Reader | undefined> {
    const progress = this.#waiting[0]
    if (progress === undefined) return undefined
    const handle = await open(progress.segment.path, 'r').catch((error: unknown) => {
      // Deleted by a thread that died before it could say so: the database has all of it.
      if (!isMissing(error) || !progress.sealed || progress.last > head) throw error
    })
    // Emptied by one: the same.
    const emptied = handle !== undefined && progress.roomNeeded === true && progress.last <= head && (await handle.stat()).size <= progress.segment.start
    if (emptied) await handle.close()
    if (handle === undefined || emptied) {
      if (emptied) this.#done = progress.segment.path
      this.#waiting.shift()
      return await this.#openNext(head)
    }
    // It may have grown while the file was opened.
    const latest = this.#waiting.shift() ?? progress
    this.#reader = { ...latest, handle, offset: latest.segment.start, next: latest.segment.first }
    return this.#reader
  }

  /** Either records the database has, all of them up to `head`, or such as it has not. */
  async #read (reader: Reader, head: number, rows: number): Promise<Batch> {
    const chunk = await this.#readLines(reader)
    const skip = Math.max(0, Math.min(head, reader.last) - reader.next + 1)
    const { bytes, count } = measure(chunk, skip > 0 ? skip : Math.min(rows, reader.last - reader.next + 1))
    return { first: reader.next, count, lines: chunk.subarray(0, bytes), opens: reader.next === reader.segment.first }
  }

  /** At least one whole line; a line longer than the buffer makes the buffer grow. */
  async #readLines (reader: Reader): Promise<Buffer> {
    for (;;) {
      const wanted = Math.min(this.#buffer.length, reader.end - reader.offset)
      const { bytesRead } = await reader.handle.read(this.#buffer, 0, wanted, reader.offset)
      const chunk = this.#buffer.subarray(0, bytesRead)
      if (chunk.includes(10)) return chunk
      if (bytesRead < this.#buffer.length) throw new Error(`${reader.segment.path} ends at ${reader.offset + bytesRead}, before its end at ${reader.end}`)
      this.#buffer = Buffer.allocUnsafe(this.#buffer.length * 2)
    }
  }

  /** All its records are in the database, so the file before it goes; of this one the header has to stay. */
  async #leave (reader: Reader): Promise<void> {
    this.#reader = undefined
    await reader.handle.close()
    await this.release()
    if (reader.roomNeeded === true) await truncate(reader.segment.path, reader.segment.start).catch(ignoreMissing)
    this.#done = reader.segment.path
  }

  async #close (reader: Reader): Promise<void> {
    this.#reader = undefined
    this.#waiting.unshift({ segment: reader.segment, end: reader.end, last: reader.last, sealed: reader.sealed, roomNeeded: reader.roomNeeded })
    await reader.handle.close()
  }
}

/** Length and number of the first `most` lines. */
function measure (chunk: Buffer, most: number): { bytes: number, count: number } {
  let bytes = 0
  let count = 0
  while (count < most) {
    const end = chunk.indexOf(10, bytes)
    if (end < 0) break
    bytes = end + 1
    count++
  }
  return { bytes, count }
}

function ignoreMissing (error: unknown): void {
  if (!isMissing(error)) throw error
}

function isMissing (error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
