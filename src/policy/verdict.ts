import type { Decision, Principal, Target } from '../call.ts'
import type { Condition, ConditionScope } from './condition.ts'
import { matchesForms } from './pattern.ts'
import type { TargetPattern } from './pattern.ts'
import { appliesTo, formsOf } from './rules.ts'
import type { Rule } from './rules.ts'

/** What a set of roles and the scopes of a token amount to. */
export interface Grants {
  readonly allow: readonly Rule[]
  readonly deny: readonly Rule[]
  readonly scopes: readonly TargetPattern[] | null
}

/** The rules that name one target, with everything that can be said before the arguments are known. */
export interface Matched {
  readonly allow: readonly Rule[]
  readonly deny: readonly Rule[]
  readonly inScope: boolean
  /** The names the target is judged by. */
  readonly forms: readonly string[]
  /** For a catalogue: may this be callable with some arguments? */
  readonly listed: Decision
  /** For a call, when no condition has a say in it. */
  readonly called: Decision | undefined
}

export const byDefault: Decision = { allowed: false, rule: 'default' }
const outOfScope: Decision = { allowed: false, rule: 'token scope' }

export function match (grants: Grants, target: Target): Matched {
  const forms = formsOf(target)
  const allow = grants.allow.filter((rule) => appliesTo(rule, target, forms))
  const deny = grants.deny.filter((rule) => appliesTo(rule, target, forms))
  const inScope = grants.scopes === null || grants.scopes.some((scope) => matchesForms(scope, target.upstream, forms, 'every'))
  const listed = judge(allow, deny, inScope, () => undefined)
  const settled = deny.length > 0 ? deny.some(isUnconditional) : !inScope || allow.length === 0 || allow.some(isUnconditional)
  return { allow, deny, inScope, forms, listed, called: settled ? listed : undefined }
}

/** Decides a call whose conditions have a say. A condition that does not clearly speak for the caller speaks against. */
export function judgeCall (matched: Matched, principal: Principal, target: Target, args: unknown): Decision {
  const scopes = conditionScopes(principal, target, matched.forms, args)
  return judge(matched.allow, matched.deny, matched.inScope, ({ effect, where }) => where && valueOf(effect, where, scopes))
}

/** One scope for each form of the target's name. */
export function conditionScopes (principal: Principal, { upstream }: Target, forms: readonly string[], args: unknown): ConditionScope[] {
  const { id, name, roles } = principal
  return forms.map((tool) => ({ args, principal: { id, name, roles }, tool, upstream }))
}

/** What the condition of a rule comes to. Of several scopes the first that speaks against the caller counts. */
export function valueOf (effect: Rule['effect'], where: Condition, scopes: readonly ConditionScope[]): boolean | string {
  const forCaller = effect === 'allow'
  for (const scope of scopes) {
    const value = where.evaluate(scope)
    if (value !== forCaller) return value
  }
  return forCaller
}

type Evaluate = (rule: Rule) => boolean | string | undefined

/** `evaluate` gives undefined while the arguments are unknown: then a conditional deny hides nothing and a conditional allow may apply. */
function judge (allow: readonly Rule[], deny: readonly Rule[], inScope: boolean, evaluate: Evaluate): Decision {
  const denied = deny.find(isUnconditional) ?? deny.find((rule) => (evaluate(rule) ?? false) !== false)
  if (denied !== undefined) return { allowed: false, rule: denied.label }
  if (!inScope) return outOfScope
  const allowed = allow.find(isUnconditional) ?? allow.find((rule) => (evaluate(rule) ?? true) === true)
  return allowed === undefined ? byDefault : { allowed: true, rule: allowed.label }
}

function isUnconditional (rule: Rule): boolean {
  return rule.where === undefined
}
