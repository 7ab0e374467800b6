import { setTimeout as sleep } from 'node:timers/promises'
import { sql, type Kysely } from 'kysely'
import type pg from 'pg'

import type { Schema } from './schema.ts'

/** Advisory locks of this class say that the process which writes a chain is connected. */
const OWNERS = 0x706f7274
const AGAIN_MS = 1_000

/** A sign of life beside the chain, for as long as it is not closed. */
export interface Hold {
  /** Resolves when it is there for the first time. */
  readonly ready: Promise<void>
  close (): void
}

/** Keeps one connection to show that the chain's writer lives; takes it anew when it breaks. */
export function holdChain (pool: pg.Pool, chain: string): Hold {
  const stop = new AbortController()
  let client: pg.PoolClient | undefined
  /** A pool has room for another connection only when the one before was released, however long that has been dead. */
  const release = (): void => {
    const held = client
    client = undefined
    held?.release(true)
  }
  const take = async (): Promise<{ readonly ended: Promise<unknown> }> => {
    for (;;) {
      try {
        client = await pool.connect()
        stop.signal.throwIfAborted()
        const ended = new Promise((resolve) => { client?.once('end', resolve) })
        // Shared: two chains whose ids fall together must not wait for one another.
        await client.query('select pg_advisory_lock_shared($1, hashtext($2))', [OWNERS, chain])
        return { ended }
      } catch (error) {
        release()
        if (stop.signal.aborted) throw error
        await sleep(AGAIN_MS, undefined, { ref: false })
      }
    }
  }
  const keep = async ({ ended }: { readonly ended: Promise<unknown> }): Promise<void> => {
    await ended
    release()
    if (!stop.signal.aborted) await keep(await take())
  }
  const first = take()
  first.then(keep).catch(() => {})
  return {
    ready: first.then(() => {}, () => {}),
    close: () => {
      stop.abort()
      release()
    },
  }
}

/** A chain that nobody goes on with, and where it ends. */
export interface AbandonedChain { readonly id: string, readonly node: string, readonly openedAt: Date, readonly seq: number, readonly hash: Buffer }

/** Open chains whose records went straight to the database, so that nothing of them can still come, and whose writer is gone. */
export async function abandonedChains (db: Kysely<Schema>, own: string): Promise<AbandonedChain[]> {
  const { rows } = await sql<AbandonedChain>`
    select c.chain_id as id, c.node, c.opened_at as "openedAt", c.last_seq::float8 as seq, c.last_hash as hash
    from ledger.chain c join ledger.event e on e.chain_id = c.chain_id and e.seq = 1
    where c.closed_at is null and c.chain_id <> ${own} and e.kind = 'gateway' and e.body -> 'detail' ->> 'durability' = 'database'
      and not exists (select from pg_locks l join pg_database d on d.oid = l.database
        where l.locktype = 'advisory' and d.datname = current_database() and l.classid::bigint = ${OWNERS} and l.objid::bigint = hashtext(c.chain_id::text)::bigint & 4294967295)`.execute(db)
  return rows
}
