import { patternProblem } from './pattern.ts'
import { present } from './reading.ts'
import { formatPeriod, parseDuration, parsePeriod } from './units.ts'
import type { RawLimit } from './schema.ts'
import type { LimitSpec } from './config.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'

const withoutSection: RawLimit = { calls: 60, per: 'hour', by: ['user', 'tool'] }
const longest = parseDuration('400d')

/** The limits in the order of the file; without a `limits` section, 60 calls an hour for each user and tool. */
export function readLimits (raw: readonly RawLimit[] | undefined, around: Surroundings): readonly LimitSpec[] {
  if (raw === undefined) return [limitOf(withoutSection, 0)]
  return present(raw).map(([index, limit]) => readLimit(limit, ['limits', index], around))
}

function readLimit (raw: RawLimit, path: Path, { report, upstreams }: Surroundings): LimitSpec {
  const limit = limitOf(raw, report.position(path).line)
  if (limit.per < 1000 || limit.per > longest) report.problem([...path, 'per'], `must be from 1s to 400d, got "${raw.per}"`)
  const problem = raw.tool === undefined ? undefined : patternProblem(raw.tool, 'tool', upstreams)
  if (problem !== undefined) report.problem([...path, 'tool'], problem)
  return limit
}

function limitOf (raw: RawLimit, line: number): LimitSpec {
  const per = parsePeriod(raw.per)
  const by = raw.by ?? ['user']
  const target = raw.tool === undefined ? {} : { tool: raw.tool }
  return { calls: raw.calls, per, by, ...target, line, name: `${raw.calls} per ${formatPeriod(per)} by ${by.join(', ')}${raw.tool === undefined ? '' : ` on ${raw.tool}`}` }
}
