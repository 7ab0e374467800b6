import type { Decision, Principal, Target } from '../call.ts'
import type { RoleSpec } from '../config/config.ts'
import { explainDecision } from './explain.ts'
import type { Explanation } from './explain.ts'
import { GrantsMemo } from './memo.ts'
import { compileRoles } from './rules.ts'
import { judgeCall } from './verdict.ts'

export interface Policy {
  /**
   * May this principal use this target? Deny beats allow, several roles add up, no rule means no. Left out altogether, `args`
   * asks for a catalogue: with some arguments? A call passes what it has; undefined then means that it has none.
   */
  decide (principal: Principal, target: Target, ...args: [args?: unknown]): Decision
  /** Do the arguments have a say in it? */
  depends (principal: Principal, target: Target): boolean
  /** May this principal see anything of that upstream at all? */
  reaches (principal: Principal, upstream: string): boolean
  /** The same decision, with every rule that was considered, in the order in which they were. */
  explain (principal: Principal, target: Target, ...args: [args?: unknown]): Explanation
}

/** Compiles the roles of the configuration. Throws a PolicyError that lists every rule that cannot be enforced. */
export function compilePolicy (roles: ReadonlyMap<string, RoleSpec>): Policy {
  const remembered = new GrantsMemo(compileRoles(roles))
  const decide: Policy['decide'] = (principal, target, ...args) => {
    const matched = remembered.of(principal).match(target)
    if (args.length === 0) return matched.listed
    return matched.called ?? judgeCall(matched, principal, target, args[0] ?? {})
  }
  return {
    decide,
    depends: (principal, target) => remembered.of(principal).match(target).called === undefined,
    reaches: (principal, upstream) => remembered.of(principal).reaches(upstream),
    explain: (principal, target, ...args) => {
      const known = args.length === 0 ? undefined : args[0] ?? {}
      return { decision: decide(principal, target, ...args), steps: explainDecision(remembered.of(principal).grants, principal, target, known) }
    },
  }
}
