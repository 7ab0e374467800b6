import type { Config } from './config.ts'
import { defaults } from './schema.ts'
import type { RawConfig } from './schema.ts'

/** `instances`, with what holds where a bound is absent. */
export function readInstances (raw: RawConfig['instances']): Config['instances'] {
  const { total, per_upstream: perUpstream, per_user: perUser } = { ...defaults.instances, ...raw }
  return { total, perUpstream, perUser }
}
