import type { UpstreamSpec } from '../config/config.ts'
import type { Era } from '../protocol/era.ts'

/**
 * `ready`: its live tool list answered. `empty`: it answered, and lists no tool. `failing`: it does not start, does not
 * answer or keeps ending. `untried`: it is about to be looked at. `unknown`: nobody can say, and `reason` says why.
 */
export type UpstreamState = 'ready' | 'empty' | 'failing' | 'untried' | 'unknown'

/** Whether somebody has looked. */
export function isKnown (state: UpstreamState): boolean {
  return state !== 'untried' && state !== 'unknown'
}

/** What is known of one upstream. */
export interface UpstreamHealth {
  readonly upstream: string
  readonly state: UpstreamState
  /** A sentence for the operator: it may name what belongs in no public answer. */
  readonly reason?: string
  /** What its last list said, in which era, when (Unix milliseconds) and how long it took. */
  readonly listed?: Listed
}

export interface Listed { readonly tools: number, readonly era: Era, readonly at: number, readonly milliseconds: number }

/** Instances that end unasked so often, with none in between that lasted, are an upstream that is failing. */
const crashesToFail = 3

/** What is remembered of one upstream between two looks. */
export interface Memory {
  readonly spec: Pick<UpstreamSpec, 'name'>
  listed: Listed | undefined
  /** Why the last look, or the last start, came to nothing. */
  failure: string | undefined
  /** Why it cannot be looked at. */
  obstacle: string | undefined
  /** Instances that ended unasked since one was seen to last. */
  crashes: number
  crash: string
}

export function blank (spec: Pick<UpstreamSpec, 'name'>): Memory {
  return { spec, listed: undefined, failure: undefined, obstacle: undefined, crashes: 0, crash: '' }
}

/** A list has answered; `lasted`: of an instance that has been up for a while. */
export function answered (memory: Memory, listed: Listed, lasted: boolean): void {
  memory.listed = listed
  memory.failure = undefined
  memory.obstacle = undefined
  if (lasted) memory.crashes = 0
}

/** What the memory comes to. */
export function judge (memory: Memory): UpstreamHealth {
  const { listed } = memory
  const said = (state: UpstreamState, reason?: string): UpstreamHealth => ({
    upstream: memory.spec.name,
    state,
    ...(reason === undefined ? {} : { reason }),
    ...(listed === undefined ? {} : { listed }),
  })
  if (memory.crashes >= crashesToFail) return said('failing', `It keeps ending by itself: ${memory.crash}`)
  if (memory.failure !== undefined) return said('failing', memory.failure)
  if (listed !== undefined) return listed.tools > 0 ? said('ready') : said('empty', 'It answers, and lists no tool.')
  return memory.obstacle === undefined ? said('untried') : said('unknown', memory.obstacle)
}
