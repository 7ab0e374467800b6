import { randomBytes, randomUUID } from 'node:crypto'

import { deleteAccountSession, findAccountSession, insertAccountSession } from '../../db/account-sessions.ts'
import { deleteBrowserLogin } from '../../db/grants.ts'
import { ACCOUNT } from './issue.ts'
import { replacePassword, verifyPassword } from './login.ts'
import type { LoginDeps } from './login.ts'
import { hashToken } from './personal-token.ts'
import { reach } from './store.ts'

/** Who is logged in on the account pages. */
export interface Account {
  /** Of this login, as GET /auth/grants lists it. */
  readonly gid: string
  readonly user: { readonly id: string, readonly name: string }
  /** Somebody who always logs in elsewhere has none. */
  readonly hasPassword: boolean
}

/** The logins of browsers to the account pages. Each is a secret that only the browser keeps, good for nothing else. */
export interface Accounts {
  /** The secret of a new login. Refuses as `login` does. */
  open (username: string, password: string, source: string): Promise<string>
  /** The secret of a new login of somebody who has just proven who they are. */
  enter (userId: string): Promise<string>
  /** Whose secret it is, while that login lasts: an hour, or until something ends the user's logins. */
  find (secret: string): Promise<Account | undefined>
  /** `browser`: the secret of the same browser's login on the login page, which ends too. */
  close (secret: string, source: string, browser?: string): Promise<void>
  /** Replaces the password, which ends every login of the user, and returns the secret of a new one. Refuses (401) a wrong old password, (400) a weak new one. */
  changePassword (account: Account, passwords: { readonly old: string, readonly new: string }, source: string): Promise<string>
}

/** Milliseconds. Nothing prolongs it: what these pages do is worth a password an hour. */
export const ACCOUNT_LIFE = 3_600_000

/** `changed`: something about this user changed, which this process must not wait for the notification of. */
export function openAccounts (deps: LoginDeps & { readonly changed: (userId: string) => void }): Accounts {
  const { db, audit, now, changed } = deps

  async function enter (userId: string): Promise<string> {
    const secret = randomBytes(32).toString('base64url')
    const startedAt = now()
    await reach(async () => await insertAccountSession(db, { id: idOf(secret), gid: randomUUID(), userId, clientId: ACCOUNT, startedAt, expiresAt: new Date(startedAt + ACCOUNT_LIFE) }))
    return secret
  }

  async function find (secret: string): Promise<Account | undefined> {
    const row = await reach(async () => await findAccountSession(db, idOf(secret), new Date(now())))
    return row === undefined ? undefined : { gid: row.gid, user: { id: row.userId, name: row.username }, hasPassword: row.hasPassword }
  }

  return {
    find,
    enter,
    open: async (username, password, source) => await enter((await verifyPassword(deps, username, password, source)).id),
    async close (secret, source, browser) {
      const account = await find(secret)
      if (account === undefined) return
      audit({ kind: 'logout', principal: account.user, source, outcome: 'ok', detail: { from: 'account pages' } })
      await reach(async () => await deleteAccountSession(db, idOf(secret)))
      if (browser !== undefined) await reach(async () => await deleteBrowserLogin(db, account.user.id, { secret: browser }))
    },
    async changePassword ({ user }, passwords, source) {
      try {
        await replacePassword(deps, user, passwords, source)
      } finally {
        changed(user.id)
      }
      return await enter(user.id)
    },
  }
}

function idOf (secret: string): string {
  return hashToken(secret).toString('base64url')
}
