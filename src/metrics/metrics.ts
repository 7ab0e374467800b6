import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'

import type { RefusalCode } from '../errors.ts'
import type { TokenGrant } from '../identity/tally.ts'
import { counters, durationBounds, gauges, histograms } from './definitions.ts'
import { CounterFamily, HistogramFamily } from './series.ts'
import type { Observations, Tally } from './series.ts'
import { registerSources } from './sources.ts'
import type { Sources } from './sources.ts'

/** The tool label of a call that named nothing in the catalogue, and of a tool beyond the first `MAX_TOOLS`. */
const UNKNOWN = '_unknown'
const OTHER = '_other'

const MAX_TOOLS = 2000

/** How a call ended: answered, answered with `isError`, refused here, no answer in time, given up by the client, upstream broke. */
export type Outcome = 'ok' | 'error' | 'refused' | 'timeout' | 'cancelled' | 'failed'

export interface MetricsOptions {
  /** Of the gateway. */
  readonly version: string
  /** Of the configuration file, as it stands in the records. */
  readonly config?: string
  /** Event loop, heap and process metrics of Node; on unless said otherwise. */
  readonly process?: boolean
}

/** What happened, counted. Every function is cheap enough for the path of a call and never throws. */
export interface Metrics {
  readonly registry: Registry
  /**
   * One call has ended. `upstream` and `tool` are undefined unless they name something in the catalogue; a prompt or
   * resource passes `_prompt` or `_resource` as its tool. Durations in seconds; `upstreamSeconds` undefined when nothing was forwarded.
   */
  callEnded (upstream: string | undefined, tool: string | undefined, outcome: Outcome, seconds: number, upstreamSeconds: number | undefined): void
  refusal (code: RefusalCode): void
  /** What a limit has done; `rule` is its name in the configuration. Asked for once, raised with every call. */
  limit (rule: string): { readonly allowed: Tally, readonly exceeded: Tally }
  login (result: 'ok' | 'refused' | 'locked' | 'busy'): void
  tokenIssued (grant: TokenGrant): void
  registration (): void
  /** A used refresh token or code came again. */
  tokenReuse (): void
  restart (upstream: string, reason: string): void
  noise (upstream: string): void
  dropped (upstream: string, reason: string): void
  egress (upstream: string, result: 'allowed' | 'denied'): void
  stderr (upstream: string, level: string): void
  appendFailure (): void
  unrecorded (upstream: string): void
  /** Says where the gauges are read; several calls add up. */
  watch (sources: Partial<Sources>): void
}

/** A registry of its own for each gateway, so that two in one process do not mix their numbers. */
export function createMetrics ({ version, config = '', process: own = true }: MetricsOptions): Metrics {
  const registry = new Registry()
  const sources: Partial<Sources> = {}
  const family = <Label extends string>(definition: { name: string, help: string, labels: readonly Label[] }): CounterFamily<Label> => new CounterFamily(registry, definition)
  const refusals = family(counters.refusals)
  const limits = family(counters.limits)
  const logins = family(counters.logins)
  const tokens = family(counters.tokens)
  const registrations = family<string>(counters.registrations).labels()
  const reuse = family<string>(counters.reuse).labels()
  const restarts = family(counters.restarts)
  const noise = family(counters.noise)
  const dropped = family(counters.dropped)
  const egress = family(counters.egress)
  const stderr = family(counters.stderr)
  const unrecorded = family(counters.unrecorded)
  const appendFailures = family<string>(counters.appendFailures).labels()
  registerSources(registry, () => sources)
  registerBuild(registry, { version, config, node: process.version })
  if (own) collectDefaultMetrics({ register: registry })
  return {
    registry,
    callEnded: countCalls(registry),
    refusal: code => { refusals.labels(code).value++ },
    limit: rule => ({ allowed: limits.labels(rule, 'allowed'), exceeded: limits.labels(rule, 'exceeded') }),
    login: result => { logins.labels(result).value++ },
    tokenIssued: grant => { tokens.labels(grant).value++ },
    registration: () => { registrations.value++ },
    tokenReuse: () => { reuse.value++ },
    restart: (upstream, reason) => { restarts.labels(upstream, reason).value++ },
    noise: upstream => { noise.labels(upstream).value++ },
    dropped: (upstream, reason) => { dropped.labels(upstream, reason).value++ },
    egress: (upstream, result) => { egress.labels(upstream, result).value++ },
    stderr: (upstream, level) => { stderr.labels(upstream, level).value++ },
    appendFailure: () => { appendFailures.value++ },
    unrecorded: upstream => { unrecorded.labels(upstream).value++ },
    watch: added => { Object.assign(sources, added) },
  }
}

interface UpstreamSeries { readonly call: Observations, readonly upstream: Observations, readonly tools: Map<string, Map<Outcome, Tally>> }

/** Nested maps instead of one key: three look-ups of short strings that exist already, and nothing is allocated. */
function countCalls (registry: Registry): Metrics['callEnded'] {
  const calls = new CounterFamily(registry, counters.calls)
  const call = new HistogramFamily(registry, histograms.call, durationBounds)
  const forwarded = new HistogramFamily(registry, histograms.upstream, durationBounds)
  const series = new Map<string, UpstreamSeries>()
  let tools = 0

  return (upstream = UNKNOWN, tool = UNKNOWN, outcome, seconds, upstreamSeconds) => {
    const own = series.get(upstream) ?? add(upstream)
    const tally = own.tools.get(tool)?.get(outcome) ?? addTool(own, upstream, tool, outcome)
    tally.value++
    own.call.observe(seconds)
    if (upstreamSeconds !== undefined) own.upstream.observe(upstreamSeconds)
  }

  function add (upstream: string): UpstreamSeries {
    const own = { call: call.series(upstream), upstream: forwarded.series(upstream), tools: new Map() }
    series.set(upstream, own)
    return own
  }

  function addTool (own: UpstreamSeries, upstream: string, tool: string, outcome: Outcome): Tally {
    if (!own.tools.has(tool)) {
      if (tools >= MAX_TOOLS) return calls.labels(upstream, OTHER, outcome)
      own.tools.set(tool, new Map())
      tools++
    }
    const tally = calls.labels(upstream, tool, outcome)
    own.tools.get(tool)?.set(outcome, tally)
    return tally
  }
}

function registerBuild (registry: Registry, labels: { version: string, config: string, node: string }): void {
  const { name, help, labels: names } = gauges.buildInfo
  new Gauge({ name, help, labelNames: names, registers: [registry] }).set(labels, 1)
}
