/** Bytes taken from the system at a time. */
const SLAB_BYTES = 256 * 1024

/**
 * Makes bytes of texts, many of them in one allocation: a buffer for each group of records would be counted, tracked and
 * freed by itself. What it gave is never written again; a slab goes when nobody holds a piece of it.
 */
export class Slab {
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #used = 0

  /** The text in UTF-8. */
  bytesOf (text: string): Buffer {
    const most = text.length * 3
    if (most > SLAB_BYTES) return Buffer.from(text)
    if (most > SLAB_BYTES - this.#used) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#used = 0
    }
    const start = this.#used
    this.#used += this.#slab.write(text, start)
    return this.#slab.subarray(start, this.#used)
  }
}
