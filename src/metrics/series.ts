import { Counter, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'

/** Name, help and labels of one metric; the table of `metrics.ts` and the page of `docs/operations.md` list them all. */
export interface Definition<Label extends string> {
  readonly name: string
  readonly help: string
  readonly labels: readonly Label[]
}

/** A count that is raised on the path of a call: a property increment, with no label hashing. */
export interface Tally { value: number }

/**
 * A counter whose series are found once and raised as plain numbers; prom-client sees them when it is scraped.
 * The caller bounds the values of its labels: a series is never forgotten.
 */
export class CounterFamily<Label extends string> {
  readonly #series = new Map<string, { readonly labels: Record<Label, string>, readonly tally: Tally }>()
  readonly #names: readonly Label[]

  constructor (registry: Registry, { name, help, labels }: Definition<Label>) {
    this.#names = labels
    const series = this.#series
    const collect = function (this: Counter<Label>): void {
      this.reset()
      for (const { labels, tally } of series.values()) this.inc(labels, tally.value)
    }
    // eslint-disable-next-line no-new -- it registers itself
    new Counter<Label>({ name, help, labelNames: [...labels], registers: [registry], collect })
  }

  /** The series with these label values, in the order of the definition. */
  labels (...values: readonly string[]): Tally {
    const key = values.join('\0')
    let series = this.#series.get(key)
    if (series === undefined) {
      series = { labels: pair(this.#names, values), tally: { value: 0 } }
      this.#series.set(key, series)
    }
    return series.tally
  }
}

/** One series of a histogram. `observe` costs a bucket search and three additions. */
export class Observations {
  readonly bounds: readonly number[]
  /** Per bucket, not cumulative; the last one is above every bound. */
  readonly counts: Float64Array
  sum = 0

  constructor (bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe (seconds: number): void {
    const { bounds, counts } = this
    let index = 0
    while (index < bounds.length && seconds > (bounds[index] ?? 0)) index++
    counts[index] = (counts[index] ?? 0) + 1
    this.sum += seconds
  }
}

/** A histogram with one label whose series are found once and observed without label hashing. */
export class HistogramFamily<Label extends string> extends Histogram<Label> {
  readonly #series = new Map<string, Observations>()
  readonly #definition: Definition<Label>
  readonly #bounds: readonly number[]

  constructor (registry: Registry, definition: Definition<Label>, bounds: readonly number[]) {
    super({ name: definition.name, help: definition.help, labelNames: [...definition.labels], buckets: [...bounds], registers: [registry] })
    this.#definition = definition
    this.#bounds = bounds
  }

  series (value: string): Observations {
    let observations = this.#series.get(value)
    if (observations === undefined) {
      observations = new Observations(this.#bounds)
      this.#series.set(value, observations)
    }
    return observations
  }

  /** prom-client asks here for what it prints (15.1, lib/registry.js) and for what `get()` answers (lib/histogram.js). */
  getForPromString (): Promise<Printed> {
    const { name, help } = this.#definition
    const values = [...this.#series].flatMap(([value, observations]) => this.#print(value, observations))
    return Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values })
  }

  #print (value: string, { bounds, counts, sum }: Observations): PrintedValue[] {
    const { name, labels } = this.#definition
    const sharedLabels = pair(labels, [value])
    let total = 0
    const buckets = [...counts].map((count, index) => {
      total += count
      return { labels: { le: bounds[index] ?? '+Inf' }, sharedLabels, value: total, metricName: `${name}_bucket` }
    })
    return [
      ...buckets,
      { labels: {}, sharedLabels, value: sum, metricName: `${name}_sum` },
      { labels: {}, sharedLabels, value: total, metricName: `${name}_count` },
    ]
  }
}

interface Printed { name: string, help: string, type: 'histogram', aggregator: 'sum', values: PrintedValue[] }

interface PrintedValue { labels: { le?: string | number }, sharedLabels: Record<string, string>, value: number, metricName: string }

function pair<Label extends string> (names: readonly Label[], values: readonly string[]): Record<Label, string> {
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? ''])) as Record<Label, string>
}
