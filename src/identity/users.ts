import { pageUsers } from '../../db/pages.ts'
import * as table from '../../db/users.ts'
import { Refusal } from '../errors.ts'
import type { Audit } from './audit.ts'
import { cutPage } from './page.ts'
import type { Page, PageRequest } from './page.ts'
import { generatePassword } from './password-rules.ts'
import type { Passwords } from './passwords.ts'
import type { Store } from './store.ts'
import { normaliseUsername, readUsername } from './username.ts'

export interface UsersDeps {
  readonly db: Store
  readonly passwords: Passwords
  readonly audit: Audit
  readonly now: () => number
}

export interface User {
  readonly id: string
  readonly name: string
  readonly roles: readonly string[]
  readonly disabled: boolean
}

/** What a change is recorded with. */
export interface By { readonly source: string, readonly principal?: { readonly id: string, readonly name: string } }

/** A new user. Refuses (400) a name that is taken or not allowed, and a weak password; none at all makes one, which is returned this once. */
export async function addUser (deps: UsersDeps, request: { name: string, roles: readonly string[], password?: string | undefined }, by: By): Promise<{ user: User, generated: string | undefined }> {
  const { row, generated } = await prepare(deps, request)
  if (await table.findForLogin(deps.db, row.usernameNorm) !== undefined) throw taken(row.username)
  record(deps, by, 'add', row.username, { roles: row.roles, before: null, after: { roles: row.roles } })
  const id = await table.insertUser(deps.db, row, new Date(deps.now()))
  if (id === undefined) throw taken(row.username)
  return { user: { id, name: row.username, roles: row.roles, disabled: false }, generated }
}

/** The user `admin`, when there is no user at all yet; undefined when there is. Of several gateways that start at once, one makes it. */
export async function addFirstUser (deps: UsersDeps, password: string | undefined, by: By): Promise<{ user: User, generated: string | undefined } | undefined> {
  if (await table.hasUsers(deps.db)) return undefined
  const { row, generated } = await prepare(deps, { name: 'admin', roles: ['admin'], password }).catch((error: unknown) => { throw named(error) })
  const id = await table.insertFirstUser(deps.db, row, new Date(deps.now()))
  if (id === undefined) return undefined
  record(deps, by, 'add', row.username, { roles: row.roles })
  return { user: { id, name: row.username, roles: row.roles, disabled: false }, generated }
}

function taken (name: string): Refusal {
  return new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `There is already a user named ${name}.` })
}

function named (error: unknown): unknown {
  if (!(error instanceof Refusal) || error.code !== 'PORTCULLIS_INVALID_REQUEST') return error
  return new Refusal(error.code, { message: `PORTCULLIS_ADMIN_PASSWORD cannot be used. ${error.message}`, cause: error.cause })
}

/** As listUsers, a page at a time. */
export async function listUserPage (db: Store, { limit, after }: PageRequest): Promise<Page<User & { createdAt: string }>> {
  return cutPage(await pageUsers(db, limit + 1, after?.[0]), limit, ({ norm }) => [norm], (row) => ({ ...describe(row), createdAt: row.createdAt.toISOString() }))
}

export async function listUsers (db: Store): Promise<(User & { createdAt: string })[]> {
  return (await table.listUsers(db)).map((row) => ({ ...describe(row), createdAt: row.createdAt.toISOString() }))
}

/** By name in any case. Refuses (404) when there is none. */
export async function findUser (db: Store, name: string): Promise<User> {
  const row = await table.findForLogin(db, normaliseUsername(name))
  if (row === undefined) throw new Refusal('PORTCULLIS_NOT_FOUND', { message: 'There is no user with this name. List them with `portcullis user list`.' })
  return describe(row)
}

/** Replaces the roles that were given here. Acts on the user's next call, everywhere. */
export async function setRoles (deps: UsersDeps, user: User, roles: readonly string[], by: By): Promise<void> {
  record(deps, by, 'role', user.name, { before: { roles: user.roles }, after: { roles } })
  await table.setRoles(deps.db, user.id, roles)
}

/** Disabling ends every login for good and holds personal access tokens off until the user is enabled again. */
export async function setDisabled (deps: UsersDeps, user: User, disabled: boolean, by: By): Promise<void> {
  record(deps, by, disabled ? 'disable' : 'enable', user.name, { before: { disabled: user.disabled }, after: { disabled } })
  await table.setDisabled(deps.db, user.id, disabled)
}

/** Without a password one is made and returned this once. Ends every login of the user. */
export async function resetPassword (deps: UsersDeps, user: User, password: string | undefined, by: By): Promise<{ generated: string | undefined }> {
  const generated = password === undefined ? generatePassword() : undefined
  const hash = await deps.passwords.turn(async () => await deps.passwords.hash(password ?? generated ?? '', user.name))
  record(deps, by, 'passwd', user.name)
  await table.setPassword(deps.db, user.id, hash, new Date(deps.now()))
  return { generated }
}

/** Refuses (400) a role that the configuration does not define. */
export function checkRoles (known: readonly string[], asked: readonly string[]): void {
  const unknown = asked.find((role) => !known.includes(role))
  if (unknown !== undefined) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `There is no role ${JSON.stringify(unknown.slice(0, 64))} in upstreams.yaml. Roles there: ${known.join(', ') || 'none yet'}.` })
}

async function prepare ({ passwords }: UsersDeps, request: { name: string, roles: readonly string[], password?: string | undefined }): Promise<{ row: table.NewUser, generated: string | undefined }> {
  const username = readUsername(request.name)
  const generated = request.password === undefined ? generatePassword() : undefined
  const passwordHash = await passwords.turn(async () => await passwords.hash(request.password ?? generated ?? '', username))
  return { row: { username, usernameNorm: normaliseUsername(username), passwordHash, roles: request.roles }, generated }
}

function record ({ audit }: UsersDeps, { source, principal }: By, action: string, user: string, more: Readonly<Record<string, unknown>> = {}): void {
  audit({ kind: 'user', ...(principal !== undefined && { principal }), source, outcome: 'ok', detail: { action, user, ...more } })
}

function describe (row: table.UserRow): User {
  return { id: row.id, name: row.username, roles: row.roles, disabled: row.disabled }
}
