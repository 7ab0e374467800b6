import type { Database } from '../../db/connect.ts'
import type { Config } from '../config/config.ts'
import type { Audit } from '../identity/audit.ts'
import { openPasswords } from '../identity/passwords.ts'
import * as users from '../identity/users.ts'
import type { User, UsersDeps } from '../identity/users.ts'
import { newPassword } from './new-password.ts'
import type { PasswordSource } from './new-password.ts'
import { table } from './table.ts'
import { UsageError } from './usage-error.ts'

export interface UserCommand {
  readonly database: Pick<Database, 'db'>
  readonly config: Pick<Config, 'roles'>
  readonly audit: Audit
  /** Writes text, newline included. */
  readonly out: (text: string) => void
}

const BY = { source: 'cli' }

/** What a new user gets when no role is named. */
export const USUAL_ROLES = ['user']

/** `user add NAME`. Without a role the user gets `user`, if there is such a role. Throws an Error that says what to do. */
export async function addUser (command: UserCommand, name: string, options: PasswordSource & { readonly roles?: readonly string[] | undefined }): Promise<void> {
  const { config, out } = command
  const roles = options.roles?.length ? options.roles : USUAL_ROLES.filter((role) => config.roles.has(role))
  checkRoles(config, roles)
  const { user, generated } = await users.addUser(await depsOf(command), { name, roles, password: await newPassword(options) }, BY)
  out(`User ${user.name} was added${roles.length === 0 ? '' : ` with the role ${roles.join(', ')}`}.\n`)
  if (roles.length === 0) out(`Without a role nothing is allowed. Give one: portcullis user role ${user.name} --add ROLE\n`)
  showPassword(out, generated)
}

/** `user list`. */
export async function listUsers ({ database, out }: UserCommand, { json }: { readonly json?: boolean | undefined }): Promise<void> {
  const rows = await users.listUsers(database.db)
  if (json === true) return out(`${JSON.stringify(rows, null, 2)}\n`)
  out(table(['NAME', 'ROLES', 'STATE', 'SINCE'], rows.map((row) => [row.name, row.roles.join(', ') || '(none)', row.disabled ? 'disabled' : 'active', row.createdAt.slice(0, 10)])))
}

export interface RoleChange {
  readonly add?: readonly string[] | undefined
  readonly remove?: readonly string[] | undefined
  readonly set?: readonly string[] | undefined
}

/** `user role NAME`. Acts on the user's next call, on every running gateway. */
export async function changeRoles (command: UserCommand, name: string, { add = [], remove = [], set }: RoleChange): Promise<void> {
  if (set === undefined && add.length === 0 && remove.length === 0) throw new UsageError('Say what to change: --add ROLE, --remove ROLE or --set ROLE.')
  checkRoles(command.config, [...(set ?? []), ...add])
  const user = await users.findUser(command.database.db, name)
  const roles = [...new Set([...(set ?? user.roles), ...add])].filter((role) => !remove.includes(role)).sort()
  await users.setRoles(await depsOf(command), user, roles, BY)
  command.out(`User ${user.name} now has ${roles.length === 0 ? 'no role: nothing is allowed' : `the role ${roles.join(', ')}`}.\n`)
}

/** `user disable NAME` and `user enable NAME`. */
export async function setDisabled (command: UserCommand, name: string, disabled: boolean): Promise<void> {
  const user = await users.findUser(command.database.db, name)
  await users.setDisabled(await depsOf(command), user, disabled, BY)
  command.out(disabled
    ? `User ${user.name} is disabled: logins have ended, personal access tokens are refused.\n`
    : `User ${user.name} is enabled: they must log in again; personal access tokens that have not expired work again.\n`)
}

/** `user passwd NAME`. Ends the logins of the user. */
export async function resetPassword (command: UserCommand, name: string, options: PasswordSource): Promise<void> {
  const user: User = await users.findUser(command.database.db, name)
  const { generated } = await users.resetPassword(await depsOf(command), user, await newPassword(options), BY)
  command.out(`The password of ${user.name} was changed, and all logins have ended.\n`)
  showPassword(command.out, generated)
}

async function depsOf ({ database, audit }: UserCommand): Promise<UsersDeps> {
  return { db: database.db, passwords: await openPasswords(), audit, now: Date.now }
}

function checkRoles ({ roles }: Pick<Config, 'roles'>, asked: readonly string[]): void {
  const unknown = asked.find((role) => !roles.has(role))
  if (unknown === undefined) return
  throw new Error(`There is no role ${JSON.stringify(unknown)} in upstreams.yaml. There ${roles.size === 1 ? 'is' : 'are'}: ${[...roles.keys()].join(', ') || 'none yet'}.`)
}

function showPassword (out: UserCommand['out'], generated: string | undefined): void {
  if (generated !== undefined) out(`Password (shown this once): ${generated}\n`)
}
