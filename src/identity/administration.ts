import { listKeys } from '../../db/keys.ts'
import { Refusal } from '../errors.ts'
import { listClientPage, revokeClient } from './administer-clients.ts'
import type { ListedClient } from './administer-clients.ts'
import type { MasterKey } from './master-key.ts'
import { createPersonalToken, listTokenPage, revokeToken } from './personal-tokens.ts'
import type { PersonalToken } from './personal-tokens.ts'
import type { Page, PageRequest } from './page.ts'
import { PUBLISHED_AHEAD, rotateKey } from './signing-keys.ts'
import { reach } from './store.ts'
import { addUser, checkRoles, findUser, listUserPage, resetPassword, setDisabled, setRoles } from './users.ts'
import type { By, User, UsersDeps } from './users.ts'

type Who = Required<By>

/** What an administrator does over HTTP. Every change is on the record, with what was before and after, or is refused. */
export interface Administration {
  listUsers (page: PageRequest): Promise<Page<User & { readonly createdAt: string }>>
  /** Without roles the user gets `user`, where there is such a role; without a password one is made, and returned this once. */
  addUser (request: { readonly name: string, readonly roles?: readonly string[] | undefined, readonly password?: string | undefined }, by: Who): Promise<User & { readonly password?: string | undefined }>
  setRoles (name: string, roles: readonly string[], by: Who): Promise<User>
  setDisabled (name: string, disabled: boolean, by: Who): Promise<User>
  /** Ends every login of the user. Without a password one is made, and returned this once. */
  resetPassword (name: string, password: string | undefined, by: Who): Promise<{ readonly password?: string | undefined }>
  /** Of one user, or of everybody. */
  listTokens (user: string | undefined, page: PageRequest): Promise<Page<PersonalToken>>
  createToken (request: { readonly user: string, readonly name: string, readonly scopes?: readonly string[] | null, readonly days?: number }, by: Who): Promise<PersonalToken & { readonly token: string }>
  revokeToken (id: string, by: Who): Promise<void>
  listClients (page: PageRequest): Promise<Page<ListedClient>>
  /** Forgets the client and ends everything that people let it do; one that acts by itself loses its user too. */
  revokeClient (id: string, by: Who): Promise<void>
  listKeys (): Promise<ListedKey[]>
  rotateKey (now: boolean, by: Who): Promise<{ readonly kid: string, readonly signsFrom: string }>
}

export interface ListedKey {
  readonly kid: string
  readonly state: 'next' | 'active' | 'retired'
  readonly signsFrom: string
  readonly verifiesUntil: string | null
}

export interface AdministrationDeps extends UsersDeps {
  readonly master: MasterKey
  /** Something about this user changed, which this process must not wait for the notification of. */
  readonly changed: (userId: string) => void
}

/** `roles`: those that the configuration defines. */
export function openAdministration (deps: AdministrationDeps, roles: readonly string[]): Administration {
  const { db, audit, now, changed } = deps

  /** The user as they are after the change. */
  async function change (name: string, work: (user: User) => Promise<unknown>): Promise<User> {
    const user = await reach(async () => await findUser(db, name))
    await reach(async () => await work(user))
    changed(user.id)
    return await reach(async () => await findUser(db, name))
  }

  return {
    listUsers: async (page) => await reach(async () => await listUserPage(db, page)),
    async addUser ({ name, roles: asked, password }, by) {
      const given = asked ?? roles.filter((role) => role === 'user')
      checkRoles(roles, given)
      const { user, generated } = await reach(async () => await addUser(deps, { name, roles: given, password }, by))
      return { ...user, password: generated }
    },
    async setRoles (name, asked, by) {
      checkRoles(roles, asked)
      return await change(name, async (user) => {
        if (user.id === by.principal.id && !asked.includes('admin')) throw ownGoal('take your own role admin')
        await setRoles(deps, user, asked, by)
      })
    },
    setDisabled: async (name, disabled, by) => await change(name, async (user) => {
      if (disabled && user.id === by.principal.id) throw ownGoal('disable yourself')
      await setDisabled(deps, user, disabled, by)
    }),
    async resetPassword (name, password, by) {
      let generated: string | undefined
      await change(name, async (user) => { ({ generated } = await resetPassword(deps, user, password, by)) })
      return { password: generated }
    },
    async listTokens (user, page) {
      const userId = user === undefined ? undefined : (await reach(async () => await findUser(db, user))).id
      return await reach(async () => await listTokenPage(db, userId, page))
    },
    async createToken ({ user: name, ...request }, by) {
      const user = await reach(async () => await findUser(db, name))
      return await reach(async () => await createPersonalToken(deps, { ...request, user, by: by.principal, source: by.source }))
    },
    async revokeToken (id, by) {
      const { userId } = await reach(async () => await revokeToken(deps, { id, by: by.principal, source: by.source }))
      changed(userId)
    },
    listClients: async (page) => await reach(async () => await listClientPage(db, page)),
    async revokeClient (id, by) {
      for (const userId of await reach(async () => await revokeClient(deps, id, by))) changed(userId)
    },
    async listKeys () {
      const rows = await reach(async () => await listKeys(db))
      return rows.map(({ kid, state, notBefore, retireAt }) => ({ kid, state, signsFrom: notBefore.toISOString(), verifiesUntil: retireAt?.toISOString() ?? null }))
    },
    async rotateKey (immediately, by) {
      const notBefore = new Date(now() + (immediately ? 0 : PUBLISHED_AHEAD))
      const before = (await reach(async () => await listKeys(db))).find(({ state }) => state === 'active')?.kid
      const kid = await reach(async () => await rotateKey(deps, notBefore, (made) => {
        audit({ kind: 'token', ...by, outcome: 'ok', detail: { action: 'rotate key', kid: made, before: { signs: before }, after: { signs: made, from: notBefore.toISOString() } } })
      }))
      return { kid, signsFrom: notBefore.toISOString() }
    },
  }
}

function ownGoal (what: string): Refusal {
  return new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `You cannot ${what}: another administrator, or the command line, can.` })
}
