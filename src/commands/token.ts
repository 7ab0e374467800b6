import type { Database } from '../../db/connect.ts'
import type { Audit } from '../identity/audit.ts'
import { createPersonalToken, DEFAULT_DAYS, listTokens as list, revokeToken as revoke } from '../identity/personal-tokens.ts'
import { findUser, listUsers } from '../identity/users.ts'
import type { User } from '../identity/users.ts'
import { table } from './table.ts'
import { UsageError } from './usage-error.ts'

export interface TokenCommand {
  readonly database: Pick<Database, 'db'>
  readonly audit: Audit
  /** Writes text, newline included. */
  readonly out: (text: string) => void
}

export interface TokenOptions {
  /** May be left out when there is only one user who can have tokens. */
  readonly user?: string | undefined
  readonly name: string
  readonly scopes?: readonly string[] | undefined
  /** `90d`, `12w`, `1y`. */
  readonly expires?: string | undefined
  readonly json?: boolean | undefined
}

/** `token create`. Prints the token this once. Throws an Error that says what to do. */
export async function createToken (command: TokenCommand, options: TokenOptions): Promise<void> {
  const { database, out } = command
  const user = options.user === undefined ? await onlyUser(command) : await findUser(database.db, options.user)
  if (user.disabled) throw new Error(`User ${user.name} is disabled: a token would be refused. Enable them first: portcullis user enable ${user.name}`)
  const created = await createPersonalToken(depsOf(command), { user, name: options.name, scopes: options.scopes, days: readDays(options.expires), source: 'cli' })
  if (options.json === true) return out(`${JSON.stringify(created, null, 2)}\n`)
  out(`${created.token}\n\nThis is shown once. It acts for ${user.name}${created.scopes === null ? ' with all their rights' : ` within ${created.scopes.join(', ')}`} until ${created.expiresAt.slice(0, 10)}.\n`)
}

/** `token list`. */
export async function listTokens ({ database, out }: TokenCommand, { user, json }: { readonly user?: string | undefined, readonly json?: boolean | undefined }): Promise<void> {
  const rows = await list(database.db, user === undefined ? undefined : (await findUser(database.db, user)).id)
  if (json === true) return out(`${JSON.stringify(rows, null, 2)}\n`)
  out(table(['ID', 'USER', 'NAME', 'TOKEN', 'SCOPES', 'EXPIRES', 'LAST USED'], rows.map((row) => [row.id, row.user, row.name, `${row.prefix}…`, row.scopes?.join(', ') ?? '(all)', row.expiresAt.slice(0, 10), row.lastUsedAt?.slice(0, 16).replace('T', ' ') ?? 'never'])))
}

/** `token revoke ID`. Refused everywhere within a second. */
export async function revokeToken (command: TokenCommand, id: string): Promise<void> {
  const { name } = await revoke(depsOf(command), { id, source: 'cli' })
  command.out(`The token "${name}" is revoked.\n`)
}

async function onlyUser ({ database }: TokenCommand): Promise<User> {
  const users = (await listUsers(database.db)).filter((user) => !user.disabled)
  const [first] = users
  if (first === undefined) throw new Error('There is no user yet. Start the gateway once (it makes "admin"), or run: portcullis user add NAME')
  if (users.length > 1) throw new UsageError('Say whose token it is: --user NAME. List the users with `portcullis user list`.')
  return first
}

/** Days in one of each unit. */
const UNITS: Readonly<Record<string, number>> = { '': 1, d: 1, w: 7, y: 365 }

function readDays (text: string | undefined): number {
  if (text === undefined) return DEFAULT_DAYS
  const [, count, unit] = /^(\d{1,3})([dwy]?)$/.exec(text) ?? []
  if (count === undefined) throw new UsageError(`--expires ${JSON.stringify(text)} is not a lifetime. Say a number of days, weeks or one year: 90d, 12w, 1y.`)
  return Number(count) * (UNITS[unit ?? ''] ?? 1)
}

function depsOf ({ database, audit }: TokenCommand) {
  return { db: database.db, audit, now: Date.now }
}
