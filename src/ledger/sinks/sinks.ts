import { randomUUID } from 'node:crypto'

import type { SinkSpec } from '../../config/config.ts'
import { Sink } from './sink.ts'
import type { SinkOptions } from './sink.ts'

export interface Sinks {
  /** Why no new call may begin: a sink that has to keep up does not. */
  readonly obstacle: string | undefined
  /** Idempotent. */
  close (): Promise<void>
}

/** Begins to bring records to every sink of the configuration. */
export function openSinks (specs: readonly SinkSpec[], options: Pick<SinkOptions, 'database' | 'log'>): Sinks {
  const owner = randomUUID()
  const sinks = specs.map(spec => new Sink({ ...options, spec, owner }))
  return {
    get obstacle () { return sinks.find(({ obstacle }) => obstacle !== undefined)?.obstacle },
    close: async () => { await Promise.all(sinks.map(async sink => await sink.close())) },
  }
}
