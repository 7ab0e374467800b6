import type { Principal } from '../call.ts'
import { Refusal } from '../errors.ts'
import { CLIENT } from '../identity/issue.ts'
import type { Attempt, AttemptFilter } from './query.ts'

/** What somebody may see of the ledger. */
export interface Sight {
  /** Only attempts of this user's own; undefined: everybody's. */
  readonly of: string | undefined
  /** Arguments, details, payloads. */
  readonly contents: boolean
}

/**
 * Everybody sees that, when and how their own calls went; an administrator sees that of everybody; what was in them only
 * an auditor sees. Refuses (403) a token that does not carry the rights of its user.
 */
export function sightOf ({ id, roles, scopes, clientId, upstream }: Principal): Sight {
  // The token of a program that the person let in is for calls, whoever the person is.
  if (scopes !== null || clientId !== CLIENT || upstream !== undefined) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'The audit log is read with a token of your own login, or a personal access token without scopes.' })
  if (roles.includes('auditor')) return { of: undefined, contents: true }
  return { of: roles.includes('admin') ? undefined : id, contents: false }
}

/** The filter, narrowed to what may be seen. Words in the arguments are contents too: who may not see them may not search them. */
export function within (sight: Sight, filter: AttemptFilter): AttemptFilter {
  if (!sight.contents && filter.text !== undefined) throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'Only an auditor may search the arguments of calls.' })
  return sight.of === undefined ? filter : { ...filter, principalId: sight.of }
}

/** May this attempt be seen at all? */
export function sees ({ of }: Sight, attempt: Attempt): boolean {
  return of === undefined || attempt.principal_id === of
}

/** As much of an attempt as may be seen. */
export function shown ({ contents }: Sight, attempt: Attempt): Partial<Attempt> {
  if (contents) return attempt
  const { arguments: args, detail, ...metadata } = attempt
  return metadata
}
