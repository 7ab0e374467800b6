import { didYouMean } from './nearest.ts'
import { parseDuration } from './units.ts'
import type { HealthSpec } from './config.ts'
import type { Surroundings } from './reading.ts'
import { defaults } from './schema.ts'
import type { RawConfig } from './schema.ts'

/** `health`, with what holds where a key is absent. */
export function readHealth (raw: RawConfig['health'], { report, upstreams }: Surroundings): HealthSpec {
  const { every, probe, required = [] } = { ...defaults.health, ...raw }
  if (parseDuration(every) < 1_000) report.problem(['health', 'every'], `"${every}" is too often: 1s is the least`)
  for (const [at, name] of required.entries()) {
    if (!upstreams.includes(name)) report.problem(['health', 'required', at], `there is no upstream "${name}"${didYouMean(name, upstreams)}`)
  }
  return { every: parseDuration(every), probe, required }
}
