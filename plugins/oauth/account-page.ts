import type { UpstreamSpec } from '../../src/config/config.ts'
import type { Account } from '../../src/identity/account.ts'
import { readAudience } from '../../src/identity/audience.ts'
import type { OpenGrant } from '../../src/identity/grants.ts'
import type { PersonalToken } from '../../src/identity/personal-tokens.ts'
import { cleanName } from '../../src/oauth/client-rules.ts'
import type { AccountPage, AccountRow, ServerRow } from './pages.ts'

export interface AccountFacts {
  readonly present: Account
  readonly grants: readonly OpenGrant[]
  readonly tokens: readonly PersonalToken[]
  /** Those that the person reaches. */
  readonly upstreams: readonly UpstreamSpec[]
  readonly publicUrl: string
  /** What was just done, from the address: only known words count. */
  readonly done: string | undefined
}

/** What the account page says, form aside: programs that were let in, logins, and personal access tokens. */
export function accountPage ({ present, grants, tokens, upstreams, publicUrl, done }: AccountFacts): Omit<AccountPage, 'csrf' | 'error' | 'tokenError' | 'made'> {
  return {
    user: present.user.name,
    hasPassword: present.hasPassword,
    done: DONE[done ?? ''],
    programs: grants.filter((grant) => !grant.isLogin).map((grant) => ({ ...program(grant, publicUrl), action: `/account/grants/${encodeURIComponent(grant.id)}/end` })),
    logins: grants.filter((grant) => grant.isLogin).map((grant) => ({
      title: capital(grant.name),
      note: grant.id === present.gid ? 'This browser' : undefined,
      facts: [since(grant.startedAt), used(grant.lastUsedAt), until(grant.expiresAt)],
      action: `/account/grants/${encodeURIComponent(grant.id)}/end`,
    })),
    tokens: tokens.map((token) => ({
      title: token.name,
      note: undefined,
      facts: [`${token.prefix}…`, token.scopes === null ? 'All of your rights' : `Only ${token.scopes.join(', ')}`, since(token.createdAt), used(token.lastUsedAt), until(token.expiresAt)],
      action: `/account/tokens/${token.id}/revoke`,
    })),
    servers: upstreams.map(server),
    lifetimes: lifetimesFor(present),
  }
}

/**
 * Days that a token may live which a person makes here, the longest last. Whom a company lets in comes back to it within 90
 * days for everything else too; a token that outlives that would still act for somebody who has left.
 */
export function lifetimesFor ({ hasPassword }: Pick<Account, 'hasPassword'>): readonly number[] {
  return hasPassword ? [7, 30, 90, 365] : [7, 30, 90]
}

const DONE: Readonly<Record<string, string>> = {
  grant: 'It is ended: whatever it held is refused from now on.',
  token: 'The token is revoked: it is refused from now on.',
  password: 'Your password is changed, and every other login has ended.',
}

function program (grant: OpenGrant, publicUrl: string): Omit<AccountRow, 'action'> {
  const name = cleanName(grant.name)
  const only = grant.resources.map((resource) => readAudience(publicUrl, resource)?.upstream)
  return {
    title: name === '' ? 'A program without a name' : name,
    note: grant.host === undefined ? 'Not verified: it gave itself this name' : `Described by ${grant.host}`,
    facts: [only.length === 0 || only.includes(undefined) ? 'Calls tools as you' : `Calls tools of ${only.join(', ')} as you`, since(grant.startedAt), used(grant.lastUsedAt), until(grant.expiresAt)],
  }
}

function server ({ name, remote, sandbox: { mode } }: UpstreamSpec): ServerRow {
  if (remote !== undefined) return { name, confinement: 'Runs elsewhere', isBare: false }
  return { name, confinement: mode === 'none' ? 'No sandbox' : `Sandboxed by ${mode}`, isBare: mode === 'none' }
}

function capital (text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function since (time: string): string {
  return `Since ${day(time)}`
}

function used (time: string | null): string {
  return time === null ? 'Never used' : `Last used ${moment(time)}`
}

function until (time: string): string {
  return `Until ${moment(time)}`
}

/** 25 November 2026, 14:05 UTC */
function moment (time: string): string {
  return `${day(time)}, ${time.slice(11, 16)} UTC`
}

/** 25 November 2026 */
function day (time: string): string {
  return new Date(time).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' })
}
