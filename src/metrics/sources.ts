import { Counter, Gauge } from 'prom-client'
import type { Registry } from 'prom-client'

import { gauges, readCounters } from './definitions.ts'
import type { Definition } from './series.ts'

export interface InstanceFacts {
  /** Unique among all instances this process ever had, for example the process id with the start time. */
  readonly id: string
  readonly upstream: string
  /** A user's id, a session of theirs, or `*`: never a label. */
  readonly owner: string
  readonly state: string
  /** 0 where the gateway has no process of its own for it. */
  readonly pid: number
  /** Unix milliseconds; undefined while it is not up. */
  readonly startedAt: number | undefined
  readonly rssBytes: number
  /** Since the instance started. */
  readonly cpuSeconds: number
  readonly processes: number
  readonly openFiles: number
  /** Requests it has not answered yet. */
  readonly inFlight: number
  /** Calls that wait for their turn at it. */
  readonly waiting: number
}

/** `ready` is undefined while nobody can say; `tools` while no list has answered. */
export interface UpstreamFacts { readonly upstream: string, readonly ready: boolean | undefined, readonly tools: number | undefined }

export interface DatabaseFacts { readonly up: boolean, readonly total: number, readonly idle: number, readonly waiting: number }

/** Where the gauges are read, once a scrape. */
export interface Sources {
  ledger (): { readonly lagRecords: number, readonly lagBytes: number, readonly leftMs: number | undefined }
  instances (): Iterable<InstanceFacts> | Promise<Iterable<InstanceFacts>>
  upstreams (): Iterable<UpstreamFacts>
  /** Upstreams whose next instance waits for a place, an entry for each. */
  inLine (): readonly string[]
  /** How many upstreams run without a sandbox. */
  unsandboxed (): number
  sessions (): number
  streams (): number
  database (): DatabaseFacts
}

/** Registers the gauges. One whose source is missing prints no series. */
export function registerSources (registry: Registry, sources: () => Partial<Sources>): void {
  const plain = (definition: Definition<string>, read: (sources: Partial<Sources>) => number | undefined): void => {
    gauge(registry, definition, metric => {
      const value = read(sources())
      if (value !== undefined) metric.set(value)
    })
  }
  plain(gauges.unsandboxed, ({ unsandboxed }) => unsandboxed?.())
  plain(gauges.sessions, ({ sessions }) => sessions?.())
  plain(gauges.streams, ({ streams }) => streams?.())
  plain(gauges.lagRecords, ({ ledger }) => ledger?.().lagRecords)
  plain(gauges.lagBytes, ({ ledger }) => ledger?.().lagBytes)
  plain(gauges.left, ({ ledger }) => ledger === undefined ? undefined : (ledger().leftMs ?? Infinity) / 1000)
  plain(gauges.databaseUp, ({ database }) => database === undefined ? undefined : Number(database().up))
  gauge(registry, gauges.databasePool, metric => {
    const { total, idle, waiting } = sources().database?.() ?? {}
    for (const [state, value] of Object.entries({ total, idle, waiting })) {
      if (value !== undefined) metric.set({ state }, value)
    }
  })
  gauge(registry, gauges.ready, metric => {
    for (const { upstream, ready } of sources().upstreams?.() ?? []) if (ready !== undefined) metric.set({ upstream }, Number(ready))
  })
  gauge(registry, gauges.tools, metric => {
    for (const { upstream, tools } of sources().upstreams?.() ?? []) if (tools !== undefined) metric.set({ upstream }, tools)
  })
  registerInstances(registry, sources)
}

function registerInstances (registry: Registry, sources: () => Partial<Sources>): void {
  const read = async (): Promise<InstanceFacts[]> => [...await sources().instances?.() ?? []]
  let reading: Promise<InstanceFacts[]> | undefined
  // All of these ask in the same tick of a scrape: one look at the processes answers all.
  const instances = (): Promise<InstanceFacts[]> => {
    reading ??= read().catch(() => []).finally(() => { reading = undefined })
    return reading
  }
  gauge(registry, gauges.instances, async metric => {
    for (const { upstream, state } of await instances()) metric.inc({ upstream, state })
  })
  for (const [definition, read] of sums) {
    gauge(registry, definition, async metric => {
      for (const facts of await instances()) metric.inc({ upstream: facts.upstream }, read(facts))
    })
  }
  for (const [definition, read] of maxima) {
    gauge(registry, definition, async metric => {
      const most = new Map<string, number>()
      for (const facts of await instances()) most.set(facts.upstream, Math.max(most.get(facts.upstream) ?? 0, read(facts)))
      for (const [upstream, value] of most) metric.set({ upstream }, value)
    })
  }
  gauge(registry, gauges.queue, async metric => {
    for (const { upstream, waiting } of await instances()) metric.inc({ upstream, queue: 'turn' }, waiting)
    for (const upstream of sources().inLine?.() ?? []) metric.inc({ upstream, queue: 'start' })
  })
  registerCpu(registry, instances)
}

type Reading = readonly [definition: Definition<string>, read: (facts: InstanceFacts) => number]

/** Instances belong to people and come and go: a series for each would name them and never end. Sums and maxima say enough. */
const sums: readonly Reading[] = [
  [gauges.rss, ({ rssBytes }) => rssBytes],
  [gauges.processes, ({ processes }) => processes],
  [gauges.openFiles, ({ openFiles }) => openFiles],
  [gauges.inFlight, ({ inFlight }) => inFlight],
]
const maxima: readonly Reading[] = [
  [gauges.rssMax, ({ rssBytes }) => rssBytes],
  [gauges.openFilesMax, ({ openFiles }) => openFiles],
]

/** A sum over living instances would fall when one ends; what each has added since the last scrape only ever grows. */
function registerCpu (registry: Registry, instances: () => Promise<InstanceFacts[]>): void {
  let seen = new Map<string, number>()
  const collect = async function (this: Counter): Promise<void> {
    const now = new Map<string, number>()
    for (const { id, upstream, cpuSeconds } of await instances()) {
      this.inc({ upstream }, Math.max(0, cpuSeconds - (seen.get(id) ?? 0)))
      now.set(id, cpuSeconds)
    }
    seen = now
  }
  // eslint-disable-next-line no-new -- it registers itself
  new Counter({ ...configuration(registry, readCounters.cpu), collect })
}

function gauge (registry: Registry, definition: Definition<string>, read: (metric: Gauge) => void | Promise<void>): void {
  const collect = function (this: Gauge): void | Promise<void> {
    // Gauge.reset() sets a gauge without labels to zero; remove() leaves it without a series until it is read.
    this.reset()
    if (definition.labels.length === 0) this.remove()
    try {
      return read(this)
    } catch {
      // A source that fails costs its own series, never the scrape.
    }
  }
  // eslint-disable-next-line no-new -- it registers itself
  new Gauge({ ...configuration(registry, definition), collect })
}

function configuration (registry: Registry, { name, help, labels }: Definition<string>): { name: string, help: string, labelNames: string[], registers: Registry[] } {
  return { name, help, labelNames: [...labels], registers: [registry] }
}
