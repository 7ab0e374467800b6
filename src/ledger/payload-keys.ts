import { randomBytes, randomUUID } from 'node:crypto'

import { LRUCache } from 'lru-cache'

import type { Database } from '../../db/connect.ts'
import { destroyPayloadKeys, findLivingKey, findPayloadKey, livingKey } from '../../db/payload-keys.ts'
import type { PayloadKeyRow } from '../../db/payload-keys.ts'
import type { MasterKey } from '../identity/master-key.ts'

export interface PayloadKey {
  readonly id: string
  /** 256 bits. */
  readonly secret: Buffer
}

const PURPOSE = 'payload keys'
/** Users whose key is kept in memory. */
const REMEMBERED = 10_000
/** Word of a change may be lost. */
const REMEMBERED_MS = 60_000

/**
 * A key for each user, which payloads of that user's calls are sealed under. In the database it is wrapped by the master
 * key, so neither a copy of the database nor a copy of the master key opens anything alone; and when it is destroyed,
 * what was sealed under it is gone, though the records stay as they are.
 */
export class PayloadKeys {
  readonly #db: Database['db']
  readonly #master: Pick<MasterKey, 'seal' | 'open'>
  readonly #known = new LRUCache<string, PayloadKey>({ max: REMEMBERED, ttl: REMEMBERED_MS })
  readonly #asked = new Map<string, Promise<PayloadKey>>()

  constructor (db: Database['db'], master: Pick<MasterKey, 'seal' | 'open'>) {
    this.#db = db
    this.#master = master
  }

  /** The key that seals for this user now, made when there is none. Rejects when the database cannot be asked. */
  of (userId: string): PayloadKey | Promise<PayloadKey> {
    const known = this.#known.get(userId)
    if (known !== undefined) return known
    const asked = this.#asked.get(userId)
    if (asked !== undefined) return asked
    const asking = this.#load(userId).finally(() => { if (this.#asked.get(userId) === asking) this.#asked.delete(userId) })
    this.#asked.set(userId, asking)
    return asking
  }

  /** A key by its id; undefined when it was destroyed. Never remembered: what is destroyed is so at once. */
  async find (id: string): Promise<PayloadKey | undefined> {
    const row = await findPayloadKey(this.#db, id)
    return row === undefined ? undefined : this.#unwrap(row)
  }

  /** What is remembered of this user may be old. */
  changed (userId: string): void {
    this.#known.delete(userId)
    this.#asked.delete(userId)
  }

  /** Destroys the keys of a user, here and in every gateway. Returns how many there were. */
  async destroy (userId: string): Promise<number> {
    const destroyed = await destroyPayloadKeys(this.#db, userId, new Date())
    this.changed(userId)
    return destroyed
  }

  async #load (userId: string): Promise<PayloadKey> {
    await Promise.resolve() // so that `asking` is in the map before anything can be settled
    const row = await findLivingKey(this.#db, userId) ?? await livingKey(this.#db, this.#fresh(userId))
    const key = this.#unwrap(row)
    if (key === undefined) throw new Error('the payload key was destroyed meanwhile')
    // Whoever was told of a change meanwhile took the question away: then the answer is for this call alone.
    if (this.#asked.has(userId)) this.#known.set(userId, key)
    return key
  }

  #fresh (userId: string): { keyId: string, userId: string, wrapped: Buffer } {
    const keyId = randomUUID()
    return { keyId, userId, wrapped: this.#master.seal(PURPOSE, labelOf(keyId, userId), randomBytes(32)) }
  }

  #unwrap ({ keyId, userId, wrapped }: PayloadKeyRow): PayloadKey | undefined {
    return wrapped === null ? undefined : { id: keyId, secret: this.#master.open(PURPOSE, labelOf(keyId, userId), wrapped) }
  }
}

function labelOf (keyId: string, userId: string): string {
  return `${keyId} ${userId}`
}
