import type { Decision, Principal, Target } from '../call.ts'
import { matchesForms } from './pattern.ts'
import { appliesTo, formsOf } from './rules.ts'
import type { Rule } from './rules.ts'
import { conditionScopes, valueOf } from './verdict.ts'
import type { Grants } from './verdict.ts'

export interface Explanation {
  readonly decision: Decision
  readonly steps: readonly Step[]
}

/** One rule on the way to a decision. */
export interface Step {
  readonly rule: string
  readonly effect: 'allow' | 'deny' | 'scope'
  /** Does the rule apply to this target, with these arguments? */
  readonly applies: boolean
  /** Why it does or does not, for a person. */
  readonly reason: string
  /** Line in the configuration; absent for the scopes of a token. */
  readonly line?: number
}

/** Every rule the grants hold: the deny rules first, then the scopes of the token, then the allow rules. */
export function explainDecision (grants: Grants, principal: Principal, target: Target, args: unknown): Step[] {
  const forms = formsOf(target)
  const step = (rule: Rule): Step => ({ rule: rule.label, effect: rule.effect, line: rule.line, ...standing(rule, principal, target, forms, args) })
  return [...unconditionalFirst(grants.deny).map(step), ...scopeSteps(grants, target, forms), ...unconditionalFirst(grants.allow).map(step)]
}

function unconditionalFirst (rules: readonly Rule[]): Rule[] {
  return rules.toSorted((a, b) => Number(a.where !== undefined) - Number(b.where !== undefined))
}

function scopeSteps (grants: Grants, target: Target, forms: readonly string[]): Step[] {
  return grants.scopes?.map((scope) => {
    const applies = matchesForms(scope, target.upstream, forms, 'every')
    return { rule: `token scope ${scope.text}`, effect: 'scope', applies, reason: applies ? 'the target is inside this scope' : 'the target is outside this scope' }
  }) ?? []
}

function standing (rule: Rule, principal: Principal, target: Target, forms: readonly string[], args: unknown): Pick<Step, 'applies' | 'reason'> {
  if (!appliesTo(rule, target, forms)) {
    const otherKind = rule.kind !== undefined && rule.kind !== target.kind
    return { applies: false, reason: otherKind ? `it names a ${rule.kind}, this is a ${target.kind}` : `the pattern does not match${spelt(rule, target, forms)}` }
  }
  if (rule.where === undefined) return { applies: true, reason: `the pattern matches${spelt(rule, target, forms)}` }
  if (args === undefined) return { applies: rule.effect === 'allow', reason: `it depends on the arguments: ${rule.where.text}` }
  const value = valueOf(rule.effect, rule.where, conditionScopes(principal, target, forms, args))
  if (typeof value === 'boolean') return { applies: value, reason: `the condition is ${value}: ${rule.where.text}` }
  return { applies: rule.effect === 'deny', reason: `the condition cannot be decided (${value}): ${rule.where.text}` }
}

/** The form of the name that decides, where it is not the one that was sent. */
function spelt (rule: Rule, { upstream }: Target, forms: readonly string[]): string {
  if (!rule.pattern.upstream(upstream)) return ''
  const decides = forms.findIndex((form, at) => (at === 0 ? rule.pattern.name : rule.pattern.canonical)(form) === (rule.effect === 'deny'))
  return decides < 1 ? '' : `, since the URI may be read as ${forms[decides]}`
}
