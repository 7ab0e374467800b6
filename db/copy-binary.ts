/** What one row is told by: the bytes it lies in, a view of the same bytes, and where each of its fields begins and how long it is; -1 is null. All of it is used again for the next row. */
export type TakeRow = (bytes: Buffer, view: DataView, starts: Int32Array, lengths: Int32Array) => void

/**
 * Reads what COPY … (FORMAT binary) sends, in chunks that end anywhere, and shows it row by row where it lies: nothing is made for a row or a field.
 * Memory: one chunk and the beginning of one row. Throws an Error when the bytes are something else.
 * https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
 */
export class CopyDecoder {
  readonly #row: TakeRow
  readonly #starts: Int32Array
  readonly #lengths: Int32Array
  /** Bytes that do not make a whole row yet. */
  #kept: Buffer[] = []
  #keptBytes = 0
  /** There is nothing new to see before so many bytes are there. */
  #wanted = HEADER_BYTES
  #state: 'header' | 'rows' | 'ended' = 'header'

  /** Every row has so many `fields`. */
  constructor (fields: number, row: TakeRow) {
    this.#row = row
    this.#starts = new Int32Array(fields)
    this.#lengths = new Int32Array(fields)
  }

  /** The next bytes. */
  take (chunk: Buffer): void {
    if (this.#keptBytes + chunk.length < this.#wanted) return this.#keep(chunk)
    const bytes = this.#keptBytes === 0 ? chunk : Buffer.concat([...this.#kept, chunk])
    this.#kept = []
    this.#keptBytes = 0
    const rest = this.#read(bytes)
    if (rest < bytes.length) this.#keep(bytes.subarray(rest))
  }

  /** There is no more. Throws when something is missing. */
  end (): void {
    if (this.#state !== 'ended') throw new Error('The database stopped in the middle of a copy.')
  }

  #keep (bytes: Buffer): void {
    this.#kept.push(bytes)
    this.#keptBytes += bytes.length
  }

  /** Reads as many whole rows as there are. Returns where the first that is not whole begins. */
  #read (bytes: Buffer): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let at = this.#state === 'header' ? this.#readHeader(bytes, view) : 0
    while (this.#state === 'rows' && at + COUNT_BYTES <= bytes.length) {
      const fields = view.getInt16(at)
      if (fields === TRAILER) {
        this.#state = 'ended'
        this.#wanted = 0
        at += COUNT_BYTES
        break
      }
      if (fields !== this.#lengths.length) throw new Error(`The database sends rows of ${fields} fields, and not of ${this.#lengths.length}.`)
      const end = this.#locate(view, at + COUNT_BYTES)
      if (end > bytes.length) {
        this.#wanted = end - at
        return at
      }
      this.#row(bytes, view, this.#starts, this.#lengths)
      at = end
    }
    if (this.#state === 'ended' && at < bytes.length) throw new Error('The database sends more than it said a copy had.')
    if (this.#state === 'rows') this.#wanted = COUNT_BYTES
    return at
  }

  /** Finds the fields of the row that begins `at`. Returns its end, or as much of it as can be told: a place beyond the bytes. */
  #locate (view: DataView, at: number): number {
    const starts = this.#starts
    const lengths = this.#lengths
    const size = view.byteLength
    for (let field = 0; field < lengths.length; field++) {
      if (at + LENGTH_BYTES > size) return at + LENGTH_BYTES
      const length = view.getInt32(at)
      at += LENGTH_BYTES
      starts[field] = at
      lengths[field] = length
      if (length > 0) at += length
    }
    return at
  }

  #readHeader (bytes: Buffer, view: DataView): number {
    if (bytes.compare(SIGNATURE, 0, SIGNATURE.length, 0, SIGNATURE.length) !== 0) throw new Error('The database sends something else than a binary copy.')
    const end = HEADER_BYTES + view.getUint32(HEADER_BYTES - LENGTH_BYTES)
    this.#wanted = end
    if (end > bytes.length) return 0
    this.#state = 'rows'
    return end
  }
}

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const COUNT_BYTES = 2
const LENGTH_BYTES = 4
/** The signature, flags, and the length of an extension that nobody uses. */
const HEADER_BYTES = SIGNATURE.length + 2 * LENGTH_BYTES
const TRAILER = -1
