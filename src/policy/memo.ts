import type { Principal, Target } from '../call.ts'
import { compilePattern } from './pattern.ts'
import type { TargetPattern } from './pattern.ts'
import type { Role } from './rules.ts'
import { match } from './verdict.ts'
import type { Grants, Matched } from './verdict.ts'

/** Callers choose the names that are asked for, so nothing that remembers them may grow without end. */
const maxGrants = 1000
const maxTargets = 5000
const maxNameLength = 256

/** Principal → the grants of its role set and scopes, shared by all principals that have the same. */
export class GrantsMemo {
  readonly #roles: ReadonlyMap<string, Role>
  readonly #shared = new Map<string, TargetMemo>()
  readonly #byPrincipal = new WeakMap<Principal, { roles: Principal['roles'], scopes: Principal['scopes'], memo: TargetMemo }>()

  constructor (roles: ReadonlyMap<string, Role>) {
    this.#roles = roles
  }

  of (principal: Principal): TargetMemo {
    const known = this.#byPrincipal.get(principal)
    if (known !== undefined && known.roles === principal.roles && known.scopes === principal.scopes) return known.memo
    const memo = this.#sharedBy(principal)
    this.#byPrincipal.set(principal, { roles: principal.roles, scopes: principal.scopes, memo })
    return memo
  }

  #sharedBy (principal: Principal): TargetMemo {
    const key = JSON.stringify([principal.roles.toSorted(), principal.scopes?.toSorted() ?? null])
    let memo = this.#shared.get(key)
    if (memo === undefined) {
      if (this.#shared.size >= maxGrants) this.#shared.clear()
      memo = new TargetMemo(this.#grants(principal))
      this.#shared.set(key, memo)
    }
    return memo
  }

  /** A role that is not configured grants nothing, and so does a scope that is no pattern. */
  #grants (principal: Principal): Grants {
    const roles = principal.roles.toSorted().flatMap((name) => this.#roles.get(name) ?? [])
    return {
      allow: roles.flatMap((role) => role.allow),
      deny: roles.flatMap((role) => role.deny),
      scopes: principal.scopes?.flatMap(patternOrNothing) ?? null,
    }
  }
}

type ByName = Map<string, Matched>

/** Target → the rules that name it, for one set of grants. */
export class TargetMemo {
  readonly grants: Grants
  readonly #matched = { tool: new Map<string, ByName>(), prompt: new Map<string, ByName>(), resource: new Map<string, ByName>() }
  #size = 0

  constructor (grants: Grants) {
    this.grants = grants
  }

  match (target: Target): Matched {
    return this.#matched[target.kind].get(target.upstream)?.get(target.name) ?? this.#remember(target)
  }

  reaches (upstream: string): boolean {
    const { allow, deny, scopes } = this.grants
    const hidden = deny.filter((rule) => rule.where === undefined && rule.pattern.everyName && rule.pattern.upstream(upstream))
    return (scopes === null || scopes.some((scope) => scope.upstream(upstream))) &&
      allow.some((rule) => rule.pattern.upstream(upstream) && !hidden.some(({ kind }) => kind === undefined || kind === rule.kind))
  }

  #remember (target: Target): Matched {
    const matched = match(this.grants, target)
    if (target.name.length > maxNameLength || target.upstream.length > maxNameLength) return matched
    const ofKind = this.#matched[target.kind]
    if (this.#size++ >= maxTargets) this.#forget()
    let names = ofKind.get(target.upstream)
    if (names === undefined) ofKind.set(target.upstream, names = new Map())
    names.set(target.name, matched)
    return matched
  }

  #forget (): void {
    for (const upstreams of Object.values(this.#matched)) upstreams.clear()
    this.#size = 1
  }
}

function patternOrNothing (scope: string): TargetPattern[] {
  try {
    return [compilePattern(scope)]
  } catch {
    return []
  }
}
