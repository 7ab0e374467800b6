import { randomBytes } from 'node:crypto'

import * as clients from '../../db/oauth-clients.ts'
import { deleteUser, findForLogin, insertUser } from '../../db/users.ts'
import { Refusal } from '../errors.ts'
import type { Audit } from './audit.ts'
import { OWN_CLIENTS } from './issue.ts'
import { hashToken } from './personal-token.ts'
import type { Store } from './store.ts'
import { normaliseUsername, readUsername } from './username.ts'
import type { By } from './users.ts'

export interface MachineClient {
  /** Client id and name of its service user. */
  readonly name: string
  readonly roles: readonly string[]
  /** Public keys (JWK Set) for private_key_jwt; without them a secret is made. */
  readonly jwks?: { readonly keys: readonly object[] }
}

export interface MachineClientsDeps { readonly db: Store, readonly audit: Audit, readonly now: () => number }

/**
 * A program that acts as itself (client credentials): a service user with these roles, and a client that gets tokens for it.
 * Returns the secret this once. Refuses (400) a name that is taken or not allowed.
 */
export async function addMachineClient ({ db, audit, now }: MachineClientsDeps, { name, roles, jwks }: MachineClient, source: string): Promise<{ secret: string | undefined }> {
  const username = readUsername(name)
  // Else its tokens would pass for those of a person's own login, which opens more than calls.
  if (OWN_CLIENTS.has(normaliseUsername(username))) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `The gateway itself is the client ${username}. Choose another name.` })
  if (await clients.findClient(db, username) !== undefined) throw taken(username)
  const userId = await insertUser(db, { username, usernameNorm: normaliseUsername(username), passwordHash: null, roles, kind: 'service' }, new Date(now()))
  if (userId === undefined) throw taken(username)
  const secret = jwks === undefined ? `portcullis_cs_${randomBytes(32).toString('base64url')}` : undefined
  const metadata = {
    client_id: username,
    client_name: username,
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
    ...(secret === undefined
      ? { token_endpoint_auth_method: 'private_key_jwt', jwks }
      : { token_endpoint_auth_method: 'client_secret_basic', client_secret: hashToken(secret).toString('base64url') }),
  }
  audit({ kind: 'user', source, outcome: 'ok', detail: { action: 'add client', user: username, roles } })
  await clients.insertClient(db, { clientId: username, metadata, source: 'admin', userId }, new Date(now()))
  return { secret }
}

/** Its tokens are refused from the next call on. Refuses (404) what is no such client. */
export async function removeMachineClient ({ db, audit }: Omit<MachineClientsDeps, 'now'>, name: string, by: By): Promise<void> {
  const found = await clients.findClient(db, name)
  const user = await findForLogin(db, normaliseUsername(name))
  if (found === undefined || found.source !== 'admin' || user === undefined || found.userId !== user.id) throw new Refusal('PORTCULLIS_NOT_FOUND', { message: 'There is no client with this name. List them with `portcullis client list`.' })
  audit({ kind: 'user', ...by, outcome: 'ok', detail: { action: 'remove client', user: name, before: { roles: user.roles }, after: null } })
  await deleteUser(db, user.id)
}

function taken (name: string): Refusal {
  return new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `There is already a user or client named ${name}.` })
}
