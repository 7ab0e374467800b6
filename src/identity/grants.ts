import { BROWSER_LOGIN, deleteBrowserLogin, listGrants as list } from '../../db/grants.ts'
import { endGrant } from '../../db/refresh-tokens.ts'
import { Refusal } from '../errors.ts'
import type { Audit } from './audit.ts'
import { ACCOUNT, CLIENT, deniedUntil } from './issue.ts'
import type { Store } from './store.ts'

/** A program that a user has let in, or a login of theirs. */
export interface OpenGrant {
  readonly id: string
  readonly clientId: string
  /** What the program calls itself; for a login, that. */
  readonly name: string
  /** A login of the user's own, and not a program. */
  readonly isLogin: boolean
  /** Host whose document describes the program; undefined: it registered itself, and its name proves nothing. */
  readonly host: string | undefined
  /** What it may call, as addresses of resources of this gateway. */
  readonly resources: readonly string[]
  readonly startedAt: string
  /** When a token was last issued. */
  readonly lastUsedAt: string
  readonly expiresAt: string
}

/** Newest first. */
export async function listGrants (db: Store, userId: string, now: number): Promise<OpenGrant[]> {
  return (await list(db, userId, new Date(now))).map((row) => ({
    id: row.id,
    clientId: row.clientId,
    name: LOGINS[row.clientId] ?? row.name ?? row.clientId,
    isLogin: row.clientId in LOGINS,
    host: URL.canParse(row.clientId) && row.clientId.startsWith('https://') ? new URL(row.clientId).host : undefined,
    resources: row.resources,
    startedAt: row.startedAt.toISOString(),
    lastUsedAt: row.lastUsedAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
  }))
}

/** What the logins of our own clients are called. */
const LOGINS: Readonly<Record<string, string>> = { [CLIENT]: 'login with the password', [ACCOUNT]: 'login to the account pages', [BROWSER_LOGIN]: 'login in a browser, to let programs in' }

export interface GrantsDeps {
  readonly db: Store
  readonly audit: Audit
  readonly now: () => number
}

/** Ends one of the user's grants: every token that came of it is refused everywhere. Refuses (404) one that is not theirs. */
export async function revokeGrant ({ db, audit, now }: GrantsDeps, user: { readonly id: string, readonly name: string }, id: string, source: string): Promise<void> {
  const found = (await list(db, user.id, new Date(now()))).find((row) => row.id === id)
  if (found === undefined) throw new Refusal('PORTCULLIS_NOT_FOUND', { message: 'There is no connection with this id. List them with GET /auth/grants.' })
  audit({ kind: 'token', principal: { id: user.id, name: user.name }, source, outcome: 'ok', detail: { action: 'revoke', grant: id, client: found.clientId } })
  if (found.clientId === BROWSER_LOGIN) await deleteBrowserLogin(db, user.id, { uid: id })
  else await endGrant(db, id, user.id, deniedUntil(now()))
}
