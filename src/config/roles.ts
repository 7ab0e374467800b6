import { patternProblem } from './pattern.ts'
import type { PatternKind } from './pattern.ts'
import { present } from './reading.ts'
import { whereProblem } from './where.ts'
import type { RawConfig, RawRule } from './schema.ts'
import type { RoleSpec, RuleSpec } from './config.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'

const kinds: readonly PatternKind[] = ['tool', 'prompt', 'resource']

/** Without a `roles` section an administrator may use everything, everybody else nothing. */
const withoutSection: readonly RoleSpec[] = [
  { name: 'admin', allow: [{ pattern: '*/*', line: 0 }], deny: [] },
  { name: 'user', allow: [], deny: [] },
]

/** The roles by name. `admin` and `user` always exist; a section that leaves one out gives it no rules. */
export function readRoles (raw: RawConfig['roles'], around: Surroundings): ReadonlyMap<string, RoleSpec> {
  if (raw === undefined) return new Map(withoutSection.map((role) => [role.name, role]))
  const builtIn = withoutSection.map(({ name }): [string, RoleSpec] => [name, { name, allow: [], deny: [] }])
  const given = Object.entries(raw).map(([name, role]): [string, RoleSpec] => [name, {
    name,
    allow: readRules(role.allow, ['roles', name, 'allow'], around),
    deny: readRules(role.deny, ['roles', name, 'deny'], around),
  }])
  return new Map([...builtIn, ...given])
}

function readRules (raw: readonly RawRule[] | undefined, path: Path, around: Surroundings): RuleSpec[] {
  return present(raw).flatMap(([index, rule]) => readRule(rule, [...path, index], around))
}

function readRule (raw: RawRule, path: Path, { report, upstreams }: Surroundings): RuleSpec[] {
  const line = report.position(path).line
  if (typeof raw === 'string') return checkPattern(raw, undefined, path, { report, upstreams }) ? [{ pattern: raw, line }] : []
  const given = kinds.filter((kind) => raw[kind] !== undefined)
  const [kind] = given
  if (kind === undefined || given.length > 1) {
    if (report.clean(path)) report.problem(path, `must name exactly one of tool, prompt or resource${given.length > 1 ? `, got ${given.join(' and ')}` : ''}`)
    return []
  }
  const pattern = raw[kind] ?? ''
  const fine = checkPattern(pattern, kind, [...path, kind], { report, upstreams })
  checkWhere(raw.where, path, report)
  return fine ? [{ kind, pattern, line, ...(raw.where === undefined ? {} : { where: raw.where }) }] : []
}

function checkPattern (pattern: string, kind: PatternKind | undefined, path: Path, { report, upstreams }: Pick<Surroundings, 'report' | 'upstreams'>): boolean {
  const problem = patternProblem(pattern, kind, upstreams)
  if (problem !== undefined) report.problem(path, problem)
  return problem === undefined
}

function checkWhere (text: string | undefined, path: Path, report: Surroundings['report']): void {
  const problem = text === undefined ? undefined : whereProblem(text)
  if (problem !== undefined) report.problem([...path, 'where'], problem.message, problem.offset)
}
