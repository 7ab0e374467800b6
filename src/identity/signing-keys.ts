import { createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

import { advanceKeys, insertFirstKey, insertNextKey, loadKeys } from '../../db/keys.ts'
import type { KeyRow } from '../../db/keys.ts'
import { deniedUntil } from './issue.ts'
import type { MasterKey } from './master-key.ts'
import type { Store } from './store.ts'

export interface PublicJwk { readonly kty: 'EC', readonly crv: 'P-256', readonly x: string, readonly y: string, readonly kid: string, readonly alg: 'ES256', readonly use: 'sig' }

/** The ES256 keys that access tokens are signed with. */
export interface SigningKeys {
  /** The key that signs now; PEM. */
  active (): { readonly kid: string, readonly privateKey: string }
  /** PEM, always the same string for one key; undefined for a key that is not (or no longer) ours. */
  publicKey (kid: string): string | undefined
  /** As publicKey, but looks into the database for a key that another replica may just have made. */
  find (kid: string): Promise<string | undefined>
  jwks (): { readonly keys: readonly PublicJwk[] }
  /** Puts a key whose time has come to work, and learns what other replicas did. True when another key signs than before. */
  refresh (): Promise<boolean>
  /** The key that signs now, as a private JWK. */
  signingJwk (): PublicJwk & { readonly d: string }
}

interface Key { readonly kid: string, readonly privateKey: string, readonly publicKey: string, readonly jwk: PublicJwk, readonly signs: boolean }

/** Unknown key ids cost at most one query in this time, in milliseconds. */
const COOLDOWN = 5000

/** Loads the keys, making the first one when there is none. Rejects when they were sealed under another master key. */
export async function openSigningKeys ({ db, master, now }: { db: Store, master: MasterKey, now: () => number }): Promise<SigningKeys> {
  const load = async (): Promise<Map<string, Key>> => {
    const rows = await loadKeys(db, new Date(now()))
    return new Map(rows.map((row) => [row.kid, unseal(master, row)]))
  }
  let keys = await load()
  if (signing(keys) === undefined) {
    await insertFirstKey(db, generate(master), new Date(now()))
    keys = await load()
  }
  let loadedAt = now()

  return {
    active () {
      const key = signing(keys)
      if (key === undefined) throw new Error('no signing key is active')
      return key
    },
    publicKey: (kid) => keys.get(kid)?.publicKey,
    async find (kid) {
      if (!keys.has(kid) && now() - loadedAt >= COOLDOWN) {
        loadedAt = now()
        keys = await load()
      }
      return keys.get(kid)?.publicKey
    },
    async refresh () {
      const before = signing(keys)?.kid
      await advanceKeys(db, new Date(now()), deniedUntil(now()))
      keys = await load()
      loadedAt = now()
      return signing(keys)?.kid !== before
    },
    jwks: () => ({ keys: [...keys.values()].map((key) => key.jwk) }),
    signingJwk () {
      const key = signing(keys)
      if (key === undefined) throw new Error('no signing key is active')
      const { d } = createPrivateKey(key.privateKey).export({ format: 'jwk' })
      if (d === undefined) throw new Error(`The signing key ${key.kid} has no private half.`)
      return { ...key.jwk, d }
    },
  }
}

/** How long a key is published before it signs, in milliseconds: whoever caches the public keys has seen it by then. */
export const PUBLISHED_AHEAD = 3_600_000

/** Makes the key that will sign from `notBefore` on. Returns its id; `record` is given it first, and may refuse. */
export async function rotateKey ({ db, master }: { db: Store, master: MasterKey }, notBefore: Date, record: (kid: string) => void): Promise<string> {
  const key = generate(master)
  record(key.kid)
  await insertNextKey(db, key, notBefore)
  return key.kid
}

function signing (keys: ReadonlyMap<string, Key>): Key | undefined {
  for (const key of keys.values()) if (key.signs) return key
  return undefined
}

const PURPOSE = 'signing-keys'

function generate (master: MasterKey): { kid: string, privateKey: Buffer } {
  const kid = randomUUID()
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, privateKey: master.seal(PURPOSE, kid, privateKey.export({ type: 'pkcs8', format: 'der' })) }
}

/** The public half comes out of the sealed private half: a row that somebody wrote into the table is never trusted. */
function unseal (master: MasterKey, row: KeyRow): Key {
  const privateKey = createPrivateKey({ key: opened(master, row), type: 'pkcs8', format: 'der' })
  const publicKey = createPublicKey(privateKey)
  return {
    kid: row.kid,
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    jwk: jwk(row.kid, publicKey),
    signs: row.state === 'active',
  }
}

function opened (master: MasterKey, row: KeyRow): Buffer {
  try {
    return master.open(PURPOSE, row.kid, row.privateKey)
  } catch (cause) {
    throw new Error(`The signing key ${row.kid} in the database was sealed under another master key than ${master.file}. Copy keys/master.key from the gateway that uses this database (every replica needs the same file).`, { cause })
  }
}

function jwk (kid: string, key: KeyObject): PublicJwk {
  const { x, y } = key.export({ format: 'jwk' })
  if (x === undefined || y === undefined) throw new Error(`The signing key ${kid} is not a P-256 key.`)
  return { kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig' }
}
