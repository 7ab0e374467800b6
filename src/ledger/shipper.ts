import { setTimeout as sleep } from 'node:timers/promises'

import { ingest, isDataError, makePartitionsAhead, noteGap, openChain } from '../../db/chains.ts'
import type { Database, Log } from '../../db/connect.ts'
import { BATCH_BYTES, BATCH_ROWS } from './backlog.ts'
import type { Batch, Supply } from './backlog.ts'
import { encode } from './entry.ts'
import { genesisOf, hashesOf, HASH_BYTES } from './hash-chain.ts'
import type { Tip } from './hash-chain.ts'
import type { Chain } from './segment.ts'

export interface ShipperOptions {
  readonly chain: Chain
  readonly supply: Supply
  readonly database: Pick<Database, 'db' | 'pool'>
  readonly log: Log
  /** Somebody waits for each record: they are sent as they come. */
  readonly urgent?: boolean
  /** Told after each batch. */
  readonly onShipped?: () => void
}

/** How long records gather before they are sent, unless there is a batch of them: small statements cost the database more a record. */
const GATHER_MS = 100
const BACKOFF_MS = { first: 50, most: 1_000 }
const PARTITIONS_MS = 6 * 60 * 60 * 1000

/**
 * Brings the records of one chain to the database: in order, each exactly once, for as long as it takes.
 */
export class Shipper {
  readonly #options: ShipperOptions
  readonly #stop = new AbortController()
  /** Number of the last record in the database; unknown until the database was asked. */
  #head: number | undefined
  /** How far the chain was hashed, from our own files as far as they reach. */
  #tip: Tip | undefined
  /** The hash before each segment that still lies there, by the number of its first record. */
  readonly #before = new Map<number, Buffer>()
  #rows = BATCH_ROWS
  #running: Promise<void> | undefined
  #hurry = false
  #notes = 0
  #backoff = BACKOFF_MS.first
  #partitionsAt = 0
  #stalledSince = 0
  #lastShippedAt = 0
  #error: Error | undefined

  constructor (options: ShipperOptions) {
    this.#options = options
    this.#hurry = options.urgent === true
  }

  /** Number of the last record that is in the database. */
  get shipped (): number {
    return this.#head ?? 0
  }

  /** The last record that is in the database, with its hash; undefined before there is one. */
  get tip (): Tip | undefined {
    return this.#tip?.seq === this.#head ? this.#tip : undefined
  }

  /** Records and their bytes that are noted and not in the database. */
  get lag (): { readonly records: number, readonly bytes: number } {
    return { records: Math.max(0, this.#options.supply.last - this.shipped), bytes: this.#options.supply.bytes }
  }

  /** When the batch that is not through yet was first tried, Unix milliseconds; 0: nothing is held up. */
  get stalledSince (): number {
    return this.#stalledSince
  }

  /** Unix milliseconds; 0: never. */
  get lastShippedAt (): number {
    return this.#lastShippedAt
  }

  /** Why the last attempt failed. */
  get error (): Error | undefined {
    return this.#error
  }

  /** There is more in the supply. */
  wake (): void {
    this.#notes++
    this.#running ??= this.#run()
  }

  /** Waits until everything that was noted is in the database. False: `signal` came first. */
  async drain (signal: AbortSignal): Promise<boolean> {
    this.#hurry = true
    while (this.lag.records > 0 || this.#running !== undefined) {
      if (signal.aborted || this.#stop.signal.aborted) return false
      this.#running ??= this.#run()
      await Promise.race([this.#running, sleep(100, undefined, { signal }).catch(() => {})])
    }
    return true
  }

  /** The chain is closed in the database: nothing of it is needed on disk any more. */
  async release (): Promise<void> {
    await this.#options.supply.release()
  }

  /** Stops where it is; what is not shipped stays in its files. */
  async close (): Promise<void> {
    this.#stop.abort()
    await this.#running
    await this.#options.supply.close()
  }

  async #run (): Promise<void> {
    await Promise.resolve()
    for (let seen = this.#notes; !this.#stop.signal.aborted; seen = this.#notes) {
      try {
        if (!await this.#shipNext() && seen === this.#notes) break
        this.#error = undefined
        this.#backoff = BACKOFF_MS.first
      } catch (error) {
        this.#failed(error)
        await this.#pause(this.#backoff)
        this.#backoff = Math.min(this.#backoff * 2, BACKOFF_MS.most)
      }
    }
    this.#running = undefined
  }

  /** False when there is nothing left. */
  async #shipNext (): Promise<boolean> {
    const enough = this.#options.supply.bytes >= BATCH_BYTES
    if (!enough && !this.#hurry && this.#stalledSince === 0) await this.#pause(GATHER_MS)
    // A chain without records leaves no trace in the database.
    const head = this.#head ?? (this.#options.supply.last === 0 ? 0 : await this.#connect())
    const batch = await this.#options.supply.next(head, this.#rows, skipped => this.#skip(skipped))
    this.#stalledSince = batch === undefined ? 0 : this.#stalledSince || Date.now()
    if (batch !== undefined) await this.#ship(batch, head)
    return batch !== undefined
  }

  async #connect (): Promise<number> {
    this.#stalledSince ||= Date.now()
    const { chain, database } = this.#options
    const tip = await openChain(database.db, chain, genesisOf(chain))
    this.#tip ??= tip
    this.#head = tip.seq
    return tip.seq
  }

  /** Records the database has already are hashed from our own files all the same: its word is not needed for them. */
  #skip (batch: Batch): void {
    if (this.#tip?.seq === batch.first - 1) this.#tip = reach(batch, this.#hashesOf(batch, this.#tip))
  }

  #hashesOf (batch: Batch, before: Tip): Buffer {
    if (batch.opens) this.#before.set(batch.first, before.hash)
    return hashesOf(before.hash, batch.lines)
  }

  /** Of a chain that another process began and partly shipped, the database alone knows where it stands. */
  async #tipBefore (batch: Batch): Promise<Tip> {
    if (this.#tip?.seq === batch.first - 1) return this.#tip
    const { chain, database } = this.#options
    const tip = await openChain(database.db, chain, genesisOf(chain))
    if (tip.seq !== batch.first - 1) throw new Error(`chain ${chain.id} stands at ${tip.seq} in the database, and the next record is ${batch.first}`)
    return tip
  }

  async #ship (batch: Batch, head: number): Promise<void> {
    if (Date.now() - this.#partitionsAt > PARTITIONS_MS) await this.#makePartitions()
    if (batch.first > head + 1) return await this.#goBack(head)
    const before = await this.#tipBefore(batch)
    const hashes = this.#hashesOf(batch, before)
    const tip = reach(batch, hashes)
    const found = await this.#ingest(batch, before, hashes)
    this.#head = found
    if (found === tip.seq) {
      this.#tip ??= tip
      if (this.#tip.seq < tip.seq) this.#tip = tip
      this.#options.supply.advance(batch)
      this.#rows = Math.min(BATCH_ROWS, this.#rows * 2)
      this.#lastShippedAt = Date.now()
      this.#stalledSince = 0
      this.#options.onShipped?.()
    } else if (found < batch.first - 1) {
      await this.#goBack(found)
    }
    // Else the database has some of these already (an answer was lost): the next read skips them.
  }

  async #makePartitions (): Promise<void> {
    await makePartitionsAhead(this.#options.database.db)
    this.#partitionsAt = Date.now()
  }

  /** The head of the chain afterwards. A record the database will not have does not hold up the others. */
  async #ingest (batch: Batch, before: Tip, hashes: Buffer): Promise<number> {
    const { chain, database, log } = this.#options
    try {
      return await ingest(database.pool, chain.id, batch.first, batch.lines, hashes)
    } catch (error) {
      if (!isDataError(error)) throw error
      if (batch.count > 1) {
        this.#rows = batch.count >> 1
        return batch.first - 1
      }
      log.error({ err: error, chain: chain.id, seq: batch.first }, 'the database refuses a record; its text is kept in a record of its own')
      const lines = unreadable(batch)
      const replaced = hashesOf(before.hash, lines)
      const found = await ingest(database.pool, chain.id, batch.first, lines, replaced)
      if (found === batch.first) this.#tip = reach(batch, replaced)
      return found
    }
  }

  /** The database knows less than it did: it was set back. What is still in our files is sent again. */
  async #goBack (head: number): Promise<void> {
    const { chain, database, log } = this.#options
    const oldest = await this.#options.supply.rewind()
    const hash = oldest === undefined ? undefined : this.#before.get(oldest) ?? (this.#tip?.seq === oldest - 1 ? this.#tip.hash : undefined)
    this.#tip = oldest === undefined || hash === undefined ? undefined : { seq: oldest - 1, hash }
    if (oldest === undefined || oldest <= head + 1) return
    this.#head = await noteGap(database.db, chain.id, oldest, hash ?? genesisOf(chain))
    log.error({ chain: chain.id, after: head, before: oldest }, 'records that the database had are missing there, and are not in the spool any more')
  }

  #failed (error: unknown): void {
    const first = this.#error === undefined
    this.#error = error instanceof Error ? error : new Error(String(error))
    if (first) this.#options.log.warn({ err: error, chain: this.#options.chain.id }, 'the ledger cannot reach the database; records wait in the spool')
  }

  async #pause (milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#stop.signal }).catch(() => {})
  }
}

/** Where the chain stands after the batch. */
function reach (batch: Batch, hashes: Buffer): Tip {
  return { seq: batch.first + batch.count - 1, hash: hashes.subarray(-HASH_BYTES) }
}

const KEPT_TEXT = 64 * 1024

function unreadable ({ first, lines }: Batch): Buffer {
  // After a power cut there may be zeros where a page did not reach the device.
  const text = lines.toString('utf8', 0, KEPT_TEXT).replaceAll('\0', '')
  return Buffer.from(encode({ kind: 'gateway', record: `unreadable-${first}`, outcome: 'error', code: 'UNREADABLE', detail: { text } }, new Date().toISOString()))
}
