import { hash as sha256 } from 'node:crypto'

import { chainFields } from '../../../db/chain-copy.ts'
import type { ReadCheckpoint } from '../checkpoint.ts'
import { HASH_BYTES } from '../hash-chain.ts'
import type { Tip } from '../hash-chain.ts'
import { bigintAt, isAsEncoded } from './as-encoded.ts'

/** The records fit together, and not with this checkpoint. */
export class Mismatch {
  readonly checkpoint: ReadCheckpoint

  constructor (checkpoint: ReadCheckpoint) {
    this.checkpoint = checkpoint
  }
}

/** Follows consecutive records from a tip as they come: numbers, hashes, checkpoints, columns. Nothing is made for a record but what its hash takes. */
export class Follower {
  /** Tips on the way, one every so many records and the first of all: where somebody who wants to look closer may begin. */
  readonly tips: Tip[] = []
  /** Numbers of records whose columns somebody else has to judge. */
  readonly unsure: number[] = []
  /** The last checkpoint on the way that fits. */
  signed: ReadCheckpoint | undefined
  /** What stopped it: a checkpoint, or a record that does not follow. All that comes behind is left alone. */
  stopped: Mismatch | 'odd' | undefined
  readonly #first: number
  readonly #every: number
  readonly #ahead: readonly ReadCheckpoint[]
  #next: number
  #seq: number
  /** The hash of the record before, and the digest of the record itself. */
  readonly #pair = Buffer.alloc(2 * HASH_BYTES)

  /** `ahead`: checkpoints in the order of their numbers. */
  constructor (tip: Tip, ahead: readonly ReadCheckpoint[], every: number) {
    this.#first = tip.seq
    this.#seq = tip.seq
    this.#every = every
    this.#ahead = ahead
    const next = ahead.findIndex(({ seq }) => seq > tip.seq)
    this.#next = next < 0 ? ahead.length : next
    tip.hash.copy(this.#pair)
    this.tips.push(tip)
  }

  get tip (): Tip {
    return { seq: this.#seq, hash: Buffer.from(this.#pair.subarray(0, HASH_BYTES)) }
  }

  /** One row as `copyChain` shows it. */
  readonly row = (bytes: Buffer, view: DataView, starts: Int32Array, lengths: Int32Array): void => {
    if (this.stopped !== undefined) return
    if (this.#seq > this.#first && (this.#seq - this.#first) % this.#every === 0) this.tips.push(this.tip)
    const text = starts[chainFields.body] ?? 0
    if (bigintAt(view, starts[chainFields.seq] ?? 0) !== this.#seq + 1 || lengths[chainFields.hash] !== HASH_BYTES || !this.#links(bytes, text, text + (lengths[chainFields.body] ?? 0), starts[chainFields.hash] ?? 0)) {
      this.stopped = 'odd'
      return
    }
    this.#seq++
    if (!isAsEncoded(bytes, view, starts, lengths)) this.unsure.push(this.#seq)
    if (this.#ahead[this.#next]?.seq === this.#seq) this.#compare()
  }

  /** `linkHash`, of what lies in the pair and this record; it then lies in the pair. As latin1 text, since a buffer for each hash takes longer than the hash. */
  #links (bytes: Buffer, start: number, end: number, hash: number): boolean {
    const pair = this.#pair
    pair.write(sha256('sha256', bytes.subarray(start, end), 'binary'), HASH_BYTES, 'latin1')
    pair.write(sha256('sha256', pair, 'binary'), 'latin1')
    for (let n = 0; n < HASH_BYTES; n++) if (pair[n] !== bytes[hash + n]) return false
    return true
  }

  #compare (): void {
    const hash = this.#pair.toString('hex', 0, HASH_BYTES)
    for (let checkpoint = this.#ahead[this.#next]; checkpoint?.seq === this.#seq; checkpoint = this.#ahead[++this.#next]) {
      if (checkpoint.hash !== hash) {
        this.stopped = new Mismatch(checkpoint)
        return
      }
      this.signed = checkpoint
    }
  }
}
