import type { ClaimMapping } from '../config/identity-spec.ts'

export type Facts = Readonly<Record<string, unknown>>

/** The value of a claim; `a.b` is the claim of that name, else `b` within `a`. */
export function claimOf (facts: Facts, path: string): unknown {
  if (Object.hasOwn(facts, path)) return facts[path]
  return path.split('.').reduce<unknown>((at, step) => typeof at === 'object' && at !== null && Object.hasOwn(at, step) ? (at as Facts)[step] : undefined, facts)
}

/** The roles that the claims give, without doubles. */
export function rolesOf (facts: Facts, { groupsClaim, roles }: ClaimMapping): string[] {
  const value = claimOf(facts, groupsClaim)
  const groups = Array.isArray(value) ? value : [value]
  const given = groups.flatMap((group) => typeof group === 'string' && Object.hasOwn(roles, group) ? [roles[group] ?? ''] : [])
  return [...new Set(given)].sort()
}

/** A user name made of what the claims say, without signs that a name may not have; `user` when nothing is left. */
export function nameIn (facts: Facts, { nameClaim }: ClaimMapping): string {
  const value = claimOf(facts, nameClaim)
  const text = typeof value === 'string' ? value.normalize('NFKC').replace(/[^a-z0-9@._+-]+/gi, '-').replace(/\.{2,}/g, '.') : ''
  return text.slice(0, 64).replace(/^[^a-z0-9]+|[^a-z0-9]+$/gi, '') || 'user'
}

/** Whether the provider left the groups out because there are too many, and sent a link instead (OpenID Connect Core, 5.6.2). */
export function isOverfull (facts: Facts, { groupsClaim }: ClaimMapping): boolean {
  const names = facts['_claim_names']
  return typeof names === 'object' && names !== null && Object.hasOwn(names, groupsClaim)
}
