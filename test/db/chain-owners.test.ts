import pg from 'pg'
import t from 'tap'
import type { Test } from 'tap'

import { holdChain } from '../../db/chain-owners.ts'
import { connectLazily } from '../../db/connect.ts'
import { until } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'

const SLOTS = 4
const CHAIN = '0b8a4c0e-3f0c-4f0e-9d0a-5a3a8f4f7c11'

interface Site {
  /** As small as that of `audit.durability: database`. */
  readonly pool: pg.Pool
  /** A connection beside it. */
  readonly admin: pg.Client
  /** Ends the connection that has the lock, or that waits for it. */
  lose (granted: boolean): Promise<void>
  held (): Promise<boolean>
}

async function site (t: Test): Promise<Site> {
  const { url } = await testDatabase(t)
  const own = connectLazily(url, undefined, SLOTS)
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  t.teardown(async () => {
    await own.close()
    await admin.end()
  })
  const owners = async (granted: boolean): Promise<number[]> => {
    const { rows } = await admin.query<{ pid: number }>(`
      select pid from pg_locks join pg_database d on d.oid = database
      where locktype = 'advisory' and mode = 'ShareLock' and datname = current_database() and granted = $1`, [granted])
    return rows.map(({ pid }) => pid)
  }
  const lose = async (granted: boolean): Promise<void> => {
    await until(async () => (await owners(granted)).length === 1)
    await admin.query('select pg_terminate_backend($1, 10000)', await owners(granted))
  }
  return { pool: own.pool, admin, lose, held: async () => (await owners(true)).length === 1 }
}

t.test('a sign of life whose connection is lost again and again comes back, and leaves the pool to others', async t => {
  const { pool, lose, held } = await site(t)
  const hold = holdChain(pool, CHAIN)
  t.teardown(() => hold.close())
  await hold.ready
  for (let n = 0; n < SLOTS + 2; n++) await lose(true)
  await until(held)
  await t.resolves(Promise.all(Array.from({ length: SLOTS }, async () => await pool.query('select 1'))))
})

t.test('a connection that is lost while it waits for the lock leaves the pool to others', async t => {
  const { pool, admin, lose, held } = await site(t)
  await admin.query('select pg_advisory_lock($1, hashtext($2))', [0x706f7274, CHAIN])
  const hold = holdChain(pool, CHAIN)
  t.teardown(() => hold.close())
  for (let n = 0; n < SLOTS; n++) await lose(false)
  await t.resolves(pool.query('select 1'))
  await admin.query('select pg_advisory_unlock_all()')
  await hold.ready
  t.ok(await held())
})

t.test('one that is closed while it still connects keeps no connection', async t => {
  const { pool } = await site(t)
  const hold = holdChain(pool, CHAIN)
  await until(() => pool.totalCount === 1)
  hold.close()
  await until(() => pool.totalCount === 0)
  t.equal(pool.totalCount, 0)
})
