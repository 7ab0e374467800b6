import { forgetFailures } from '../../db/login-attempts.ts'
import { listen } from '../../db/listen.ts'
import { deleteUnusedClients } from '../../db/oauth-clients.ts'
import { endGrant, sweepExpired } from '../../db/refresh-tokens.ts'
import { touchPersonalTokens } from '../../db/tokens.ts'
import { IDENTITY_CHANNEL, loadStates } from '../../db/users.ts'
import type { Database } from '../../db/connect.ts'
import type { Principal } from '../call.ts'
import type { IdentitySpec } from '../config/identity-spec.ts'
import { Refusal } from '../errors.ts'
import type { Log } from '../log.ts'
import { openAccounts } from './account.ts'
import type { Accounts } from './account.ts'
import { openAdministration } from './administration.ts'
import type { Administration } from './administration.ts'
import type { Audit } from './audit.ts'
import { openAuthenticator } from './authenticate.ts'
import { readBearer } from './bearer.ts'
import type { Claims, TokenFormat } from './claims.ts'
import { openFederation } from './federation.ts'
import type { Federation } from './federation.ts'
import { listGrants, revokeGrant } from './grants.ts'
import type { OpenGrant } from './grants.ts'
import { deniedUntil } from './issue.ts'
import type { TokenPair } from './issue.ts'
import { openIssuers } from './issuers.ts'
import { changePassword, login, verifyPassword } from './login.ts'
import { openMasterKey } from './master-key.ts'
import { openPasswords } from './passwords.ts'
import type { PasswordStatus } from './passwords.ts'
import { createPersonalToken, listTokens, revokeToken } from './personal-tokens.ts'
import type { PersonalToken, TokenRequest } from './personal-tokens.ts'
import { endLogin, refresh } from './refresh.ts'
import { openSigningKeys } from './signing-keys.ts'
import type { SigningKeys } from './signing-keys.ts'
import { Standings } from './standing.ts'
import type { ChangeListener } from './standing.ts'
import { reach } from './store.ts'
import type { IdentityTally } from './tally.ts'
import { addFirstUser } from './users.ts'

export interface Identity {
  /**
   * Authorization header → principal; cached hits return synchronously. Throws or rejects with a Refusal: 401
   * PORTCULLIS_UNAUTHENTICATED or PORTCULLIS_INVALID_TOKEN, 503 PORTCULLIS_OVERLOADED when the database is out of sight.
   */
  authenticate (authorization: string | undefined): Principal | Promise<Principal>
  /** Refuses 401 PORTCULLIS_BAD_CREDENTIALS, 503 when too many log in at once. */
  login (username: string, password: string, source: string): Promise<TokenPair>
  /** Who logs in on a page; refuses as `login` does. */
  verifyPassword (username: string, password: string, source: string): Promise<{ readonly id: string, readonly name: string }>
  /** Logins at the company's providers. */
  readonly federation: Federation
  /** Logins of browsers to the account pages. */
  readonly accounts: Accounts
  /** What administrators do; `roles` are those that the configuration defines. */
  administer (roles: readonly string[]): Administration
  refresh (refreshToken: string, source: string): Promise<TokenPair>
  /** What a user has let in. */
  listGrants (userId: string): Promise<OpenGrant[]>
  /** Refuses (404) a grant that is not this user's. */
  revokeGrant (user: { readonly id: string, readonly name: string }, id: string, source: string): Promise<void>
  /** The claims of an access token, when it is good. */
  claims (token: string): Promise<Claims>
  /** Ends one grant of a user: every token that came of it is refused everywhere from now on. */
  endGrant (gid: string, userId: string): Promise<void>
  /** Ends the login that the access token in this Authorization header belongs to. */
  logout (authorization: string | undefined, source: string): Promise<void>
  changePassword (principal: Principal, passwords: { old: string, new: string }, source: string): Promise<TokenPair>
  createToken (request: TokenRequest): Promise<PersonalToken & { readonly token: string }>
  listTokens (userId: string): Promise<PersonalToken[]>
  revokeToken (request: { id: string, userId: string, source: string }): Promise<void>
  /** Makes the user `admin` when there is no user yet. The generated password is returned this once; undefined when one was given. */
  firstStart (password: string | undefined): Promise<{ readonly name: string, readonly generated: string | undefined } | undefined>
  /**
   * Called with a user id whenever something about that user, or a credential of theirs, may have changed, once the new
   * standing is known (undefined: the user is gone). Returns how to stop.
   */
  onChange (listener: ChangeListener): () => void
  jwks (): ReturnType<SigningKeys['jwks']>
  /** The key that signs now, as a private JWK. */
  signingJwk (): ReturnType<SigningKeys['signingJwk']>
  /** Called when another key signs than before. */
  onKeyChange (listener: () => void): void
  /** Puts a key whose time has come to work; happens by itself every minute. */
  refreshKeys (): Promise<void>
  /** A 256-bit key for one purpose, the same on every replica that shares the master key. */
  deriveKey (purpose: string): Buffer
  readonly status: IdentityStatus
  /** Idempotent. */
  close (): Promise<void>
}

export interface IdentityStatus {
  /** false: the database was silent for too long, so nobody is authenticated. */
  readonly fresh: boolean
  readonly users: number
  readonly passwords: PasswordStatus
}

export interface IdentityOptions {
  readonly database: Database
  /** Directory of the master key. */
  readonly data: string
  /** Origin, without a trailing slash: the issuer. Tokens are for `<publicUrl>/mcp`. */
  readonly publicUrl: string
  /** Where people can log in beside here, and whose access tokens are accepted beside our own. */
  readonly outside: IdentitySpec
  /** Reads a stored secret; undefined when there is none. */
  readonly secret: (name: string) => string | undefined
  /** How long remembered identities may be used while the database is silent, in milliseconds. */
  readonly maxStale: number
  readonly audit: Audit
  readonly tally?: IdentityTally
  readonly log: Pick<Log, 'warn' | 'error'>
  /** Signs and verifies access tokens with these keys. */
  readonly openFormat: (keys: SigningKeys) => TokenFormat | Promise<TokenFormat>
  readonly now?: () => number
}

const FLUSH = 60_000
const SWEEP = 600_000

/** Opens everything about who is calling. Resolves when it hears of changes; rejects when the database or the keys cannot be used. */
export async function openIdentity (options: IdentityOptions): Promise<Identity> {
  const { database, publicUrl, maxStale, audit, log } = options
  const { db } = database
  const now = options.now ?? Date.now
  const master = openMasterKey(options.data)
  const keys = await openSigningKeys({ db, master, now })
  const format = await options.openFormat(keys)
  const passwords = await openPasswords({ onRefused: () => options.tally?.login('busy') })
  const standings = new Standings({
    load: async (id) => (await reach(async () => await loadStates(db, [id], new Date(now()))))[0],
    now,
    maxStale,
    onError: (error) => log.error({ err: error }, 'a listener for changed users failed'),
  })
  const changed = (userId: string): void => standings.changed(userId)
  const subscription = await listen({
    url: database.url,
    channel: IDENTITY_CHANNEL,
    heartbeat: Math.max(50, Math.min(1000, maxStale / 4)),
    now,
    onNotify: changed,
    onUp: () => standings.allChanged(),
    onAlive: (sentAt) => standings.alive(sentAt),
    onDown: (error) => log.warn({ err: error }, 'the identity database was lost; reconnecting'),
  })
  const authenticator = openAuthenticator({ db, standings, keys, issuers: openIssuers(options.outside.issuers, now), format, audit, publicUrl, now })
  const tokens = { db, audit, now }
  const issue = { format, issuer: publicUrl, audience: `${publicUrl}/mcp`, now, tally: options.tally }
  const logins = { ...issue, db, passwords, audit, attemptsKey: master.deriveKey('login-attempts') }

  const flush = async (): Promise<void> => {
    const uses = authenticator.takeUses()
    if (uses.size > 0) await touchPersonalTokens(db, uses)
  }
  const sweep = async (): Promise<void> => {
    await sweepExpired(db, new Date(now()), 1000)
    await forgetFailures(db, new Date(now() - 86_400_000))
    await deleteUnusedClients(db, new Date(now() - 86_400_000), 1000)
  }
  const keyListeners = new Set<() => void>()
  const refreshKeys = async (): Promise<void> => {
    if (await keys.refresh()) for (const listener of keyListeners) listener()
  }
  const timers = [every(FLUSH, flush), every(FLUSH, refreshKeys), every(SWEEP, sweep)]

  function every (interval: number, work: () => Promise<void>): NodeJS.Timeout {
    return setInterval(() => { work().catch((error: unknown) => log.warn({ err: error }, 'housekeeping of identities failed')) }, interval).unref()
  }

  let closing: Promise<void> | undefined
  async function close (): Promise<void> {
    for (const timer of timers) clearInterval(timer)
    standings.close()
    await subscription.close()
    await flush().catch((error: unknown) => log.warn({ err: error }, 'the last use of tokens was not noted'))
  }

  return {
    authenticate: authenticator.authenticate,
    login: async (username, password, source) => await login(logins, username, password, source),
    async verifyPassword (username, password, source) {
      const { id, username: name } = await verifyPassword(logins, username, password, source)
      return { id, name }
    },
    federation: openFederation({ db, audit, now, log, changed, publicUrl, secret: options.secret, specs: options.outside.providers }),
    accounts: openAccounts({ ...logins, changed }),
    administer: (roles) => openAdministration({ db, passwords, audit, now, master, changed }, roles),
    listGrants: async (userId) => await reach(async () => await listGrants(db, userId, now())),
    async revokeGrant (user, id, source) {
      await reach(async () => await revokeGrant(tokens, user, id, source))
      changed(user.id)
    },
    claims: async (token) => await authenticator.claims(token),
    async endGrant (gid, userId) {
      await reach(async () => await endGrant(db, gid, userId, deniedUntil(now())))
      changed(userId)
    },
    refresh: async (token, source) => await refresh({ ...issue, db, audit, changed }, token, source),
    async logout (authorization, source) {
      const principal = await authenticator.authenticate(authorization)
      if (principal.tokenKind !== 'access') throw new Refusal('PORTCULLIS_FORBIDDEN', { message: 'Only the access token of a login can end it. A personal access token is revoked with DELETE /auth/tokens/<id> or `portcullis token revoke <id>`.' })
      await endLogin({ ...issue, db, audit, changed }, await authenticator.claims(readBearer(authorization)), principal.name, source)
    },
    async changePassword (principal, given, source) {
      try {
        return await changePassword(logins, principal, given, source)
      } finally {
        changed(principal.id)
      }
    },
    createToken: async (request) => await reach(async () => await createPersonalToken(tokens, request)),
    listTokens: async (userId) => await reach(async () => await listTokens(db, userId)),
    async revokeToken (request) {
      const { userId } = await reach(async () => await revokeToken(tokens, request))
      changed(userId)
    },
    async firstStart (password) {
      const first = await addFirstUser({ db, passwords, audit, now }, password, { source: 'first start' })
      return first === undefined ? undefined : { name: first.user.name, generated: first.generated }
    },
    onChange: (listener) => standings.onChange(listener),
    jwks: () => keys.jwks(),
    signingJwk: () => keys.signingJwk(),
    onKeyChange: (listener) => { keyListeners.add(listener) },
    refreshKeys,
    deriveKey: (purpose) => master.deriveKey(purpose),
    get status () { return { fresh: now() < standings.freshUntil, users: standings.size, passwords: passwords.status } },
    close: async () => await (closing ??= close()),
  }
}
