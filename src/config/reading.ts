import type { Report } from './report.ts'

/** What every part of the reader needs to know about where the configuration stands. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv
  readonly report: Report
  /** Absolute paths. */
  readonly file: string
  readonly directory: string
  readonly data: string
  readonly allowUnsandboxed: boolean
  /** Names under `upstreams`, also those with problems. */
  readonly upstreams: readonly string[]
}

/** The entries of a list with their indexes, without the holes that validation left. */
export function present<Item> (list: readonly Item[] | undefined): (readonly [index: number, item: Item])[] {
  return [...(list ?? []).entries()].filter(([, item]) => item !== undefined)
}
