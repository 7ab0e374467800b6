import { createHmac } from 'node:crypto'

import { clearFailures, countFailure, readAttempts } from '../../db/login-attempts.ts'
import { findById, findForLogin, replaceHash, setPassword } from '../../db/users.ts'
import type { LoginRow } from '../../db/users.ts'
import type { Principal } from '../call.ts'
import { Refusal } from '../errors.ts'
import type { Audit, IdentityEvent } from './audit.ts'
import { startGrant } from './issue.ts'
import type { IssueDeps, TokenPair } from './issue.ts'
import { networkOf } from './network.ts'
import type { Passwords } from './passwords.ts'
import { reach } from './store.ts'
import type { Store } from './store.ts'
import { normaliseUsername } from './username.ts'

export interface LoginDeps extends IssueDeps {
  readonly db: Store
  readonly passwords: Passwords
  readonly audit: Audit
  /** Key for the HMAC of user names in the table of failed logins. */
  readonly attemptsKey: Buffer
}

/**
 * Failures that cost nothing, from one network and from all together; the longest wait in seconds, and after how many
 * milliseconds without an attempt all is forgiven. With one count for all, anybody could keep a person out with a wrong
 * password every quarter of an hour; with none, many networks could guess together.
 */
const BACK_OFF = { near: 5, far: 100, longest: 900, memory: 86_400_000 }

/** User name and password → tokens of the first-party client. Refuses as verifyPassword does. */
export async function login (deps: LoginDeps, username: string, password: string, source: string): Promise<TokenPair> {
  const user = await verifyPassword(deps, username, password, source)
  return await reach(async () => await startGrant(deps, user.id, user.tokenVersion))
}

/**
 * The user whose name and password these are. Every way to fail gives the same text after the same work (one verification,
 * the same queries), so that nobody learns which names exist. Five failures start a back-off per name and network, which doubles; it never locks for good.
 */
export async function verifyPassword (deps: LoginDeps, username: string, password: string, source: string): Promise<LoginRow> {
  const { db, passwords, audit } = deps
  return await passwords.turn(async () => {
    const norm = normaliseUsername(username)
    const user = await reach(async () => await findForLogin(db, norm))
    const result = await prove(deps, { norm, source }, user, password)
    if (result !== 'ok' || user === undefined) throw refuse(audit, user, source, result)
    const renewed = await passwords.renew(user.passwordHash ?? '', password)
    if (renewed !== null) await reach(async () => await replaceHash(db, user.id, user.passwordHash ?? '', renewed))
    audit({ kind: 'login', principal: named(user), source, outcome: 'ok' })
    return user
  })
}

/** Replaces the caller's own password, ends all of their logins, and starts a new one. Refuses (401) a wrong old password, (400) a weak new one. */
export async function changePassword (deps: LoginDeps, principal: Principal, passwords: { old: string, new: string }, source: string): Promise<TokenPair> {
  const version = await replacePassword(deps, principal, passwords, source)
  return await reach(async () => await startGrant(deps, principal.id, version))
}

/** Replaces a user's own password and ends all of their logins. Returns the new token version; refuses as changePassword does. */
export async function replacePassword (deps: LoginDeps, person: { readonly id: string, readonly name: string }, passwords: { readonly old: string, readonly new: string }, source: string): Promise<number> {
  return await deps.passwords.turn(async () => {
    const user = await reach(async () => await findById(deps.db, person.id))
    const result = await prove(deps, { norm: normaliseUsername(person.name), source }, user, passwords.old)
    if (result !== 'ok' || user === undefined) throw refuse(deps.audit, user, source, result, { action: 'passwd' })
    const hash = await deps.passwords.hash(passwords.new, user.username)
    deps.audit({ kind: 'user', principal: named(user), source, outcome: 'ok', detail: { action: 'passwd', user: user.username } })
    return await reach(async () => await setPassword(deps.db, user.id, hash, new Date(deps.now())))
  })
}

/** Inside a turn. Whether the password is this user's; counts what fails, and holds off a name that fails too often. */
async function prove ({ db, passwords, attemptsKey, now }: LoginDeps, { norm, source }: { readonly norm: string, readonly source: string }, user: LoginRow | undefined, password: string): Promise<'ok' | 'failed' | 'limited'> {
  const keyOf = (text: string): Buffer => createHmac('sha256', attemptsKey).update(text).digest()
  const [near, far] = [keyOf(`${norm}\0${networkOf(source)}`), keyOf(norm)]
  const time = now()
  const attempts = await reach(async () => await readAttempts(db, [near, far]))
  const waiting = attempts.some(({ lockedUntil }) => lockedUntil !== null && lockedUntil.getTime() > time)
  const usable = user !== undefined && !user.disabled && !waiting
  const matches = await passwords.verify(usable ? user.passwordHash : null, password)
  if (matches) {
    if (attempts.length > 0) await reach(async () => await clearFailures(db, [near, far]))
    return 'ok'
  }
  // What comes during the wait is not counted: else whoever hammers a name would keep its owner out for ever.
  if (waiting) return 'limited'
  for (const [key, free] of [[near, BACK_OFF.near], [far, BACK_OFF.far]] as const) {
    await reach(async () => await countFailure(db, key, new Date(time), { free, longest: BACK_OFF.longest, forget: new Date(time - BACK_OFF.memory) }))
  }
  return 'failed'
}

/** Records the failure and returns the one refusal that all failures share. A name that nobody has is not recorded: people type passwords there. */
function refuse (audit: Audit, user: LoginRow | undefined, source: string, result: 'ok' | 'failed' | 'limited', detail?: IdentityEvent['detail']): Refusal {
  const record = audit({
    kind: 'login',
    ...(user !== undefined && { principal: named(user) }),
    source,
    outcome: result === 'limited' ? 'limited' : 'failed',
    code: 'PORTCULLIS_BAD_CREDENTIALS',
    ...(detail !== undefined && { detail }),
  })
  return new Refusal('PORTCULLIS_BAD_CREDENTIALS', typeof record === 'string' ? { data: { record } } : {})
}

function named (user: LoginRow): { id: string, name: string } {
  return { id: user.id, name: user.username }
}
