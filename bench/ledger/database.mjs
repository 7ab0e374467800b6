// A database for a part that needs no gateway: one of its own on the server at TEST_DATABASE_URL, else a private Postgres.
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import pg from 'pg'

const quiet = { info () {}, warn () {}, error () {} }

/** Runs `work({ database, patient, data, log })` on a migrated, empty database, and removes it; `patient` has no limits of time. */
export async function withDatabase (name, work) {
  const { openDatabase, connectPatiently } = await import('../../dist/db/connect.js')
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-bench-ledger-'))
  await chmod(folder, 0o711)
  const server = process.env.TEST_DATABASE_URL
  const own = server === undefined ? undefined : await create(server, `portcullis_bench_${name}_${process.pid}`)
  const database = await openDatabase({ url: own?.url, data: folder, log: quiet })
  const patient = connectPatiently(database.url, quiet)
  try {
    return await work({ database, patient, data: folder, log: quiet })
  } finally {
    await patient.close()
    await database.close()
    await own?.drop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function create (server, name) {
  const url = new URL(server)
  url.pathname = `/${name}`
  await execute(server, `CREATE DATABASE ${name}`)
  return { url: url.href, drop: async () => await execute(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) }
}

async function execute (server, statement) {
  const client = new pg.Client({ connectionString: server })
  await client.connect()
  await client.query(statement).finally(() => client.end())
}
