import { BATCH_BYTES } from './backlog.ts'
import type { Batch, Supply } from './backlog.ts'

/** Records of one chain that are in no file: kept until the database has them. */
export class MemorySupply implements Supply {
  #lines: string[] = []
  /** Number of the first of them. */
  #first = 1
  #bytes = 0

  add (line: string): void {
    this.#lines.push(line)
    this.#bytes += line.length + 1
  }

  get last (): number {
    return this.#first + this.#lines.length - 1
  }

  /** Near enough: a character counts as one. */
  get bytes (): number {
    return this.#bytes
  }

  next (head: number, rows: number, skipped: (batch: Batch) => void): Promise<Batch | undefined> {
    for (let known = head - this.#first + 1; known > 0 && this.#lines.length > 0; known = head - this.#first + 1) {
      const batch = this.#batch(known)
      skipped(batch)
      this.advance(batch)
    }
    return Promise.resolve(this.#lines.length === 0 ? undefined : this.#batch(rows))
  }

  advance ({ count }: Batch): void {
    for (const line of this.#lines.splice(0, count)) this.#bytes -= line.length + 1
    this.#first += count
  }

  /** What the database had and has lost is not here any more. */
  rewind (): Promise<number | undefined> {
    return Promise.resolve(this.#lines.length === 0 ? undefined : this.#first)
  }

  release (): Promise<void> {
    return Promise.resolve()
  }

  close (): Promise<void> {
    return Promise.resolve()
  }

  #batch (most: number): Batch {
    let count = 0
    let text = ''
    for (const line of this.#lines) {
      if (count === most || (count > 0 && text.length + line.length > BATCH_BYTES)) break
      text += line + '\n'
      count++
    }
    return { first: this.#first, count, lines: Buffer.from(text), opens: false }
  }
}
