import { createHash } from 'node:crypto'

import type { Adapter, AdapterFactory, AdapterPayload, ClientMetadata } from 'oidc-provider'

import * as artifacts from '../../db/oauth-artifacts.ts'
import * as clients from '../../db/oauth-clients.ts'
import type { Database } from '../../db/connect.ts'
import type { Audit } from '../../src/identity/audit.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { reach } from '../../src/identity/store.ts'
import { errors, Provider } from './library.ts'

export interface AdapterDeps {
  readonly db: Database['db']
  readonly identity: Pick<Identity, 'endGrant'>
  readonly audit: Audit
  /** Marks a client that an administrator added; nobody outside of this process knows it. */
  readonly vouched: string
}

export const GRANT = kindOf('Grant')

/** Secrets that whoever holds them may use: only their hash is stored. */
const HASHED = new Set(['AuthorizationCode', 'RefreshToken'])

/** Clients that run several processes refresh with one token at the same moment; for this long that is no theft. Milliseconds. */
const GRACE = 30_000

/** Where the authorization server keeps what it must remember: in Postgres, with single use decided by the database. */
export function adapters (deps: AdapterDeps): AdapterFactory {
  return (name) => name === 'Client' ? clientAdapter(deps) : artifactAdapter(name, deps)
}

/** How a secret of a client is stored and compared. */
export function hashSecret (secret: string): string {
  return createHash('sha256').update(secret).digest('base64url')
}

function kindOf (name: string): string {
  return `oauth.${name}`
}

/** Text that Postgres cannot hold: NUL, and halves of a character. Only somebody who is trying things sends it. */
const UNSTORABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/

function isStorable (payload: object): boolean {
  return !UNSTORABLE.test(JSON.stringify(payload))
}

/** Nothing is stored under a name with NUL in it, and Postgres would not even be asked for one. */
async function unlessNul<Found> (name: string, look: () => Promise<Found | undefined>): Promise<Found | undefined> {
  return name.includes('\0') ? undefined : await reach(look)
}

function artifactAdapter (name: string, { db, identity }: AdapterDeps): Adapter {
  const kind = kindOf(name)
  const hashed = HASHED.has(name)
  const idOf = (id: string): string => hashed ? hashSecret(id) : id

  /** A refresh token counts as used only after the grace; a code at once. */
  const restore = (found: artifacts.FoundArtifact | undefined, id?: string): AdapterPayload | undefined => {
    if (found === undefined) return undefined
    const { payload, consumedAt } = found
    const isUsed = consumedAt !== null && !(name === 'RefreshToken' && Date.now() - consumedAt.getTime() <= GRACE)
    return { ...payload, ...(hashed && id !== undefined && { jti: id }), ...(isUsed && { consumed: Math.floor(consumedAt.getTime() / 1000) }) }
  }

  return {
    async upsert (id, { jti, ...payload }, expiresIn = 0) {
      if (!isStorable(payload)) throw new errors.InvalidRequest('a parameter holds a sign that is not allowed')
      const artifact: artifacts.Artifact = {
        kind,
        id: idOf(id),
        payload: hashed ? payload : { jti, ...payload },
        grantId: name === 'Grant' ? id : payload.grantId ?? null,
        userCode: payload.userCode ?? null,
        uid: payload.uid ?? null,
        clientId: payload.clientId ?? null,
        accountId: payload.accountId ?? sessionAccount(payload),
        expiresAt: new Date(Date.now() + expiresIn * 1000),
      }
      if (name !== 'ReplayDetection') return await reach(async () => await artifacts.putArtifact(db, artifact))
      // oidc-provider looks and then stores, which two that bring one proof at once would both pass.
      if (!await reach(async () => await artifacts.addArtifact(db, artifact))) throw new errors.InvalidClientAuth('this proof was used before')
    },
    find: async (id) => restore(await unlessNul(idOf(id), async () => await artifacts.findArtifact(db, kind, { id: idOf(id) })), id),
    findByUid: async (uid) => restore(await unlessNul(uid, async () => await artifacts.findArtifact(db, kind, { uid }))),
    findByUserCode: async (userCode) => restore(await unlessNul(userCode, async () => await artifacts.findArtifact(db, kind, { userCode }))),
    async consume (id) {
      const first = await reach(async () => await artifacts.consumeArtifact(db, kind, idOf(id), new Date()))
      if (!first && name !== 'RefreshToken') throw new errors.InvalidGrant('already used')
    },
    async destroy (id) {
      if (name !== 'Grant') return await reach(async () => await artifacts.deleteArtifact(db, kind, idOf(id)))
      const found = await reach(async () => await artifacts.findArtifact(db, kind, { id }))
      // Access tokens are not stored: they are denied by the id of their grant.
      if (typeof found?.payload['accountId'] === 'string') await identity.endGrant(id, found.payload['accountId'])
    },
    revokeByGrantId: async (grantId) => await reach(async () => await artifacts.deleteGrantArtifacts(db, kind, grantId)),
  }
}

/** The person in an interaction: ends with their logins too. */
function sessionAccount ({ session }: AdapterPayload): string | null {
  return (session as { accountId?: string } | undefined)?.accountId ?? null
}

function clientAdapter ({ db, audit, vouched }: AdapterDeps): Adapter {
  const never = async (): Promise<undefined> => await Promise.resolve(undefined)
  return {
    async upsert (id, payload) {
      if (!isStorable(payload)) throw new errors.InvalidClientMetadata('the metadata holds a sign that is not allowed')
      const metadata = payload as unknown as ClientMetadata
      audit({ kind: 'token', ...(Provider.ctx !== undefined && { source: Provider.ctx.ip }), outcome: 'ok', detail: { action: 'register client', client: id, name: metadata.client_name, redirects: metadata.redirect_uris } })
      const kept = metadata.client_secret === undefined ? metadata : { ...metadata, client_secret: hashSecret(metadata.client_secret) }
      await reach(async () => await clients.insertClient(db, { clientId: id, metadata: { ...kept }, source: 'registered', userId: null }, new Date()))
    },
    async find (id) {
      const found = await unlessNul(id, async () => await clients.findClient(db, id))
      return found === undefined ? undefined : { ...found.metadata, ...(found.source === 'admin' && { portcullis_vouched: vouched }) } as unknown as AdapterPayload
    },
    destroy: async (id) => { await reach(async () => await clients.deleteClient(db, id)) },
    findByUid: never,
    findByUserCode: never,
    consume: never,
    revokeByGrantId: never,
  }
}
