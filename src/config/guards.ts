import { RE2JS } from 're2js'

import { denyPatterns } from './deny-patterns.ts'
import { patternProblem } from './pattern.ts'
import { present } from './reading.ts'
import { defaults } from './schema.ts'
import type { RawConfig } from './schema.ts'
import { parseSize } from './units.ts'
import type { DenyPattern, GuardSpec } from './config.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'

type RawPattern = NonNullable<NonNullable<RawConfig['guards']>['deny']>[number]

/** The shipped patterns, unless `defaults: false`, then those of the file. */
export function readGuards (raw: RawConfig['guards'], around: Surroundings): GuardSpec {
  const shipped = raw?.defaults === false ? [] : denyPatterns
  const deny = present(raw?.deny).map(([index, pattern]) => readPattern(pattern, ['guards', 'deny', index], around))
  reportTwins(shipped, deny, around)
  return {
    deny: [...shipped, ...deny],
    maxArguments: parseSize(raw?.max_arguments ?? defaults.guards.max_arguments),
    maxResult: parseSize(raw?.max_result ?? defaults.guards.max_result),
  }
}

function readPattern (raw: RawPattern, path: Path, { report, upstreams }: Surroundings): DenyPattern {
  const problem = expressionProblem(raw.pattern)
  if (problem !== undefined) report.problem([...path, 'pattern'], problem)
  const target = raw.tool === undefined ? undefined : patternProblem(raw.tool, 'tool', upstreams)
  if (target !== undefined) report.problem([...path, 'tool'], target)
  return { name: raw.name, pattern: raw.pattern, in: 'arguments', ...(raw.tool === undefined ? {} : { tool: raw.tool }), line: report.position(path).line }
}

function expressionProblem (pattern: string): string | undefined {
  if (pattern === '') return 'is empty: it would refuse every call'
  // eslint-disable-next-line no-control-regex -- exactly what "\b" in double quotes turns into
  if (/[\x00-\x08]/.test(pattern)) return 'holds a control character: inside "double quotes" \\b is a backspace, so write patterns in \'single quotes\''
  try {
    return RE2JS.compile(pattern).matcher('').find() ? 'matches an empty text, so it would refuse every call' : undefined
  } catch (error) {
    return `is not a valid RE2 pattern: ${error instanceof Error ? error.message.replace('error parsing regexp: ', '') : String(error)}`
  }
}

function reportTwins (shipped: readonly DenyPattern[], given: readonly DenyPattern[], { report }: Surroundings): void {
  given.forEach(({ name }, index) => {
    const path = ['guards', 'deny', index, 'name']
    if (shipped.some((other) => other.name === name)) report.problem(path, `"${name}" is the name of a pattern that ships with Portcullis: choose another, or switch those off with "defaults: false"`)
    else if (given.findIndex((other) => other.name === name) < index) report.problem(path, `two patterns are called "${name}"`)
  })
}
