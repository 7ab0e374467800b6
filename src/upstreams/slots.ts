const span = 65_536

/**
 * What is in flight on one child, by the id the gateway minted: id = generation × 65,536 + slot. An answer that is
 * late, repeated or forged carries a generation that is no longer current and finds nothing.
 * (An array and not a Map: a Map used as a queue rehashes constantly and keeps dead entries alive.)
 */
export class Slots<T> {
  readonly #items: (T | undefined)[] = []
  readonly #generations: number[] = []
  readonly #free: number[] = []
  #size = 0

  get size (): number {
    return this.#size
  }

  /** Reserves an id for `item`; undefined when 65,536 are in flight already. */
  add (item: T): number | undefined {
    const slot = this.#free.pop() ?? this.#items.length
    if (slot >= span) return undefined
    const generation = this.#generations[slot] ?? 1
    this.#items[slot] = item
    this.#generations[slot] = generation
    this.#size++
    return generation * span + slot
  }

  get (id: number): T | undefined {
    const slot = id % span
    return this.#generations[slot] === (id - slot) / span ? this.#items[slot] : undefined
  }

  /** Gives the item back and retires the id. */
  take (id: number): T | undefined {
    const item = this.get(id)
    if (item === undefined) return undefined
    const slot = id % span
    this.#items[slot] = undefined
    const generation = this.#generations[slot] ?? 1
    this.#generations[slot] = generation >= 0x3fffffff ? 1 : generation + 1
    this.#free.push(slot)
    this.#size--
    return item
  }

  * entries (): Generator<[number, T]> {
    for (let slot = 0; slot < this.#items.length; slot++) {
      const item = this.#items[slot]
      if (item !== undefined) yield [(this.#generations[slot] ?? 1) * span + slot, item]
    }
  }
}
