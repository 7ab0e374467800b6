import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'

import { connectPatiently } from './connect.ts'
import type { Schema } from './schema.ts'

/** One unchanging view of the database. It has one connection, which answers one question at a time. */
export interface Snapshot {
  readonly db: Kysely<Schema>
  readonly client: pg.PoolClient
}

/** Runs `work` on one unchanging view of the database at this address, however long it takes. */
export async function withSnapshot<Result> (url: string, work: (snapshot: Snapshot) => Promise<Result>): Promise<Result> {
  const { pool, close } = connectPatiently(url, undefined)
  try {
    const client = await pool.connect()
    try {
      await client.query('begin isolation level repeatable read read only')
      return await work({ db: over(client), client })
    } finally {
      client.release(true) // whatever went wrong may have left it in the middle of an answer
    }
  } finally {
    await close()
  }
}

/** Questions of the usual kind, over a connection that is not Kysely's to close. */
function over (client: pg.PoolClient): Kysely<Schema> {
  const borrowed = { query: client.query.bind(client), release: () => {} }
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool: { connect: async () => await Promise.resolve(borrowed), end: async () => await Promise.resolve() } }) })
}
