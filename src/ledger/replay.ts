import type { Database } from '../../db/connect.ts'
import { judgedCalls } from '../../db/replay.ts'
import type { JudgedCall } from '../../db/replay.ts'
import { findById } from '../../db/users.ts'
import type { Principal, Target } from '../call.ts'
import type { Policy } from '../policy/policy.ts'

/** Calls of one user to one target that another policy would have judged otherwise. */
export interface Change {
  readonly user: string
  readonly target: string
  readonly change: 'newly denied' | 'newly allowed'
  calls: number
  /** The rule that decided then, and the one that would now. */
  readonly before: string | null
  readonly after: string
  /** The newest of them. */
  record: string
}

export interface Replay {
  readonly changes: readonly Change[]
  /** Calls that were looked at. */
  readonly calls: number
  /** Calls whose arguments decide, and were not kept as they were: they may be judged otherwise or not. */
  readonly undecided: number
  /** Calls of users who are gone. */
  readonly gone: number
}

/** Judges what was recorded since then by this policy, with the roles that users have now. Nothing is called. */
export async function replay ({ db }: Pick<Database, 'db'>, policy: Policy, since: Date): Promise<Replay> {
  const changes = new Map<string, Change>()
  const principals = new Map<string, Principal | undefined>()
  const count = { calls: 0, undecided: 0, gone: 0 }
  for await (const page of judgedCalls(db, since)) {
    for (const call of page) {
      count.calls++
      if (!principals.has(call.principal_id)) principals.set(call.principal_id, await principalOf(db, call.principal_id))
      const principal = principals.get(call.principal_id)
      if (principal === undefined) count.gone++
      else if (policy.depends(principal, targetOf(call)) && !isWhole(call.args)) count.undecided++
      else note(changes, call, principal, policy)
    }
  }
  return { ...count, changes: [...changes.values()].sort((a, b) => b.calls - a.calls) }
}

function note (changes: Map<string, Change>, call: JudgedCall, principal: Principal, policy: Policy): void {
  // What the scopes of a token refused stays refused, whatever the roles say; the record does not have the scopes.
  if (call.rule === 'token scope') return
  const target = targetOf(call)
  const { allowed, rule } = policy.decide(principal, target, call.args === null ? undefined : JSON.parse(call.args))
  if (allowed === call.allowed) return
  const name = `${target.kind === 'tool' ? '' : `${target.kind}: `}${call.upstream}/${call.tool}`
  const key = JSON.stringify([principal.id, name, allowed, call.rule, rule])
  const known = changes.get(key)
  if (known === undefined) changes.set(key, { user: principal.name, target: name, change: allowed ? 'newly allowed' : 'newly denied', calls: 1, before: call.rule, after: rule, record: call.record })
  else {
    known.calls++
    known.record = call.record
  }
}

const kinds: Readonly<Record<string, Target['kind']>> = { 'prompts/get': 'prompt', 'resources/read': 'resource' }

function targetOf ({ method, upstream, tool }: JudgedCall): Target {
  return { kind: kinds[method ?? ''] ?? 'tool', upstream, name: tool }
}

/** Nothing was hidden and nothing cut off; see src/guard/redact.ts for how that looks. */
function isWhole (args: string | null): boolean {
  return args !== null && !/\[redacted\]|\[… \d+ |\[nested deeper\]|\[too large to be recorded\]/.test(args)
}

async function principalOf (db: Database['db'], id: string): Promise<Principal | undefined> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return undefined
  const user = await findById(db, id)
  return user === undefined ? undefined : unlimited({ id, name: user.username, roles: user.roles })
}

/** A user as policy sees one whose token limits nothing. */
export function unlimited (user: Pick<Principal, 'id' | 'name' | 'roles'>): Principal {
  return { ...user, tokenId: '', tokenKind: 'access', clientId: '', scopes: null, expiresAt: 0 }
}
