// Latencies in microseconds, every one kept, so that percentiles are exact.

export class Latencies {
  #values = new Float64Array(1 << 16)
  #count = 0

  add (microseconds) {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#count * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#count++] = microseconds
  }

  /** { p50, p90, p99, max } in whole microseconds; null when nothing was added. */
  summary () {
    if (this.#count === 0) return null
    const sorted = this.#values.slice(0, this.#count).sort()
    const at = (share) => Math.round(sorted[Math.min(this.#count - 1, Math.floor(share * this.#count))])
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) }
  }
}

/** The middle of some numbers, or NaN of none. */
export function median (numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}
