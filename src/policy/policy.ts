import type { Decision, Principal, Target } from '../call.ts'
import type { RoleSpec } from '../config/config.ts'
import { explainDecision } from './explain.ts'
import type { Explanation } from './explain.ts'
import { GrantsMemo } from './memo.ts'
import { compileRoles } from './rules.ts'
import { judgeCall } from './verdict.ts'

export interface Policy {
  /**
   * May this principal use this target? Deny beats allow, several roles add up, no rule means no. `args` undefined asks
   * for a catalogue ("with some arguments?"); a call must pass its arguments, `{}` when it has none.
   */
  decide (principal: Principal, target: Target, args?: unknown): Decision
  /** May this principal see anything of that upstream at all? */
  reaches (principal: Principal, upstream: string): boolean
  /** The same decision, with every rule that was considered, in the order in which they were. */
  explain (principal: Principal, target: Target, args?: unknown): Explanation
}

/** Compiles the roles of the configuration. Throws a PolicyError that lists every rule that cannot be enforced. */
export function compilePolicy (roles: ReadonlyMap<string, RoleSpec>): Policy {
  const remembered = new GrantsMemo(compileRoles(roles))
  return {
    decide (principal, target, args) {
      const matched = remembered.of(principal).match(target)
      if (args === undefined) return matched.listed
      return matched.called ?? judgeCall(matched, principal, target, args)
    },
    reaches: (principal, upstream) => remembered.of(principal).reaches(upstream),
    explain (principal, target, args) {
      const decision = this.decide(principal, target, args)
      return { decision, steps: explainDecision(remembered.of(principal).grants, principal, target, args) }
    },
  }
}
