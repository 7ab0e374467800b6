import type { Target } from '../call.ts'
import type { RoleSpec, RuleSpec } from '../config/config.ts'
import { compileCondition } from './condition.ts'
import type { Condition } from './condition.ts'
import { compilePattern, matchesForms } from './pattern.ts'
import type { TargetPattern } from './pattern.ts'
import { uriForms } from './uri-forms.ts'

/** One compiled line of a role. */
export interface Rule {
  /** `role:index pattern` for an allow rule, `role:deny:index pattern` for a deny rule. */
  readonly label: string
  readonly effect: 'allow' | 'deny'
  readonly kind: Target['kind'] | undefined
  readonly pattern: TargetPattern
  readonly where: Condition | undefined
  readonly line: number
}

export interface Role { readonly allow: readonly Rule[], readonly deny: readonly Rule[] }

export interface RuleProblem { readonly role: string, readonly line: number, readonly message: string }

/** The rules cannot be enforced as they are written. One problem per rule, with its line in the configuration. */
export class PolicyError extends Error {
  readonly problems: readonly RuleProblem[]

  constructor (problems: readonly RuleProblem[]) {
    super(problems.map((problem) => `line ${problem.line}, role ${problem.role}: ${problem.message}`).join('\n'))
    this.name = 'PolicyError'
    this.problems = problems
  }
}

/** Compiles every rule of every role. Throws a PolicyError that lists all mistakes at once. */
export function compileRoles (roles: ReadonlyMap<string, RoleSpec>): ReadonlyMap<string, Role> {
  const problems: RuleProblem[] = []
  const compile = (role: string, effect: Rule['effect'], specs: readonly RuleSpec[]): Rule[] => specs.flatMap((spec, index) => {
    try {
      return [compileRule(role, effect, spec, index)]
    } catch (error) {
      problems.push({ role, line: spec.line, message: error instanceof Error ? error.message : String(error) })
      return []
    }
  })
  const compiled = new Map<string, Role>()
  for (const [name, spec] of roles) {
    compiled.set(name, { allow: compile(name, 'allow', spec.allow), deny: compile(name, 'deny', spec.deny) })
  }
  if (problems.length > 0) throw new PolicyError(problems)
  return compiled
}

/** The names that a target is judged by, the one that was sent first: a resource has one for each way to read its URI. */
export function formsOf ({ kind, name }: Target): readonly string[] {
  return kind === 'resource' ? uriForms(name) : [name]
}

export function appliesTo (rule: Rule, target: Target, forms: readonly string[]): boolean {
  return (rule.kind === undefined || rule.kind === target.kind) && matchesForms(rule.pattern, target.upstream, forms, rule.effect === 'allow' ? 'every' : 'some')
}

function compileRule (role: string, effect: Rule['effect'], spec: RuleSpec, index: number): Rule {
  return {
    label: effect === 'allow' ? `${role}:${index} ${spec.pattern}` : `${role}:deny:${index} ${spec.pattern}`,
    effect,
    kind: spec.kind,
    pattern: compilePattern(spec.pattern),
    where: spec.where === undefined ? undefined : compileCondition(spec.where),
    line: spec.line,
  }
}
