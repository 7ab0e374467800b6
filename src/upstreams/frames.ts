const newline = 10
/** How much of a dropped line is kept at either end: enough to find the id it answers. */
const edge = 64
/** Pieces of a line are joined now and then, so that one byte at a time does not cost an object each. */
const maxParts = 512
/** A line of so many bytes is gathered in one place from then on, so that it is in memory once. */
const large = 1024 * 1024

/**
 * Cuts a child's stdout into lines (MCP stdio: one JSON message a line). A line longer than `cap` bytes is dropped
 * whole and reported once with its first and last bytes, so that one large answer fails one call and never the child.
 */
export class LineReader {
  readonly #cap: number
  readonly #onLine: (line: Buffer) => void
  readonly #onOversize: (head: Buffer, tail: Buffer) => void
  #parts: Buffer[] = []
  #length = 0
  /** Where a large line is gathered. As long as a line can be: the system gives memory only to what is written. */
  #whole: Buffer | undefined
  #head: Buffer | undefined

  constructor (cap: number, onLine: (line: Buffer) => void, onOversize: (head: Buffer, tail: Buffer) => void) {
    this.#cap = cap
    this.#onLine = onLine
    this.#onOversize = onOversize
  }

  push (chunk: Buffer): void {
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#end(chunk.subarray(start, end))
      start = end + 1
    }
    if (start < chunk.length) this.#hold(chunk.subarray(start))
  }

  #end (last: Buffer): void {
    if (this.#head === undefined && this.#length + last.length > this.#cap) this.#drop(last)
    if (this.#head !== undefined) return this.#oversize(last)
    const line = this.#joined(last)
    this.#reset()
    const trimmed = line[line.length - 1] === 13 ? line.subarray(0, -1) : line
    if (trimmed.length > 0) this.#onLine(trimmed)
  }

  #hold (part: Buffer): void {
    if (this.#head !== undefined) return
    if (this.#length + part.length > this.#cap) return this.#drop(part)
    if (this.#length + part.length > large) this.#gather(part)
    else this.#parts.push(part)
    this.#length += part.length
    if (this.#parts.length > maxParts) this.#parts = [Buffer.concat(this.#parts)]
  }

  #gather (part: Buffer): void {
    if (this.#whole === undefined) {
      this.#whole = Buffer.allocUnsafeSlow(this.#cap)
      Buffer.concat(this.#parts).copy(this.#whole)
      this.#parts = []
    }
    part.copy(this.#whole, this.#length)
  }

  #joined (last: Buffer): Buffer {
    if (this.#length === 0) return last
    if (this.#whole === undefined) return Buffer.concat([...this.#parts, last])
    last.copy(this.#whole, this.#length)
    return this.#whole.subarray(0, this.#length + last.length)
  }

  #drop (part: Buffer): void {
    this.#head = Buffer.from((this.#whole ?? this.#parts[0] ?? part).subarray(0, edge))
    this.#reset()
  }

  #oversize (last: Buffer): void {
    const head = this.#head ?? last
    this.#head = undefined
    this.#onOversize(head, last.subarray(-edge))
  }

  #reset (): void {
    this.#parts = []
    this.#whole = undefined
    this.#length = 0
  }
}
