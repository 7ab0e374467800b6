import { readdirSync } from 'node:fs'

import pg from 'pg'
import t from 'tap'

import { migrate } from '../../db/migrate.ts'
import { testServer } from '../support/postgres.ts'

t.test('any number of processes may migrate a new database at once; one does it', async t => {
  const server = await testServer()
  const admin = new pg.Client({ connectionString: server.url })
  await admin.connect()
  const name = `test_${process.pid}_migrate`
  await admin.query(`create database ${name}`)
  t.teardown(async () => {
    await admin.query(`drop database ${name} with (force)`)
    await admin.end()
  })
  const url = new URL(server.url)
  url.pathname = `/${name}`
  const applied: unknown[] = []
  const log = { info: (facts: object) => { applied.push(facts) }, warn: () => {}, error: () => {} }
  await Promise.all([1, 2, 3].map(async () => await migrate(url.href, log)))
  await migrate(url.href, log)
  const files = readdirSync(new URL('../../db/migrations/', import.meta.url)).map((file) => file.replace('.ts', '')).sort()
  t.strictSame(applied, files.map((migration) => ({ migration })))
})

t.test('a database that cannot be reached is an error, not a hang', async t => {
  await t.rejects(migrate('postgres://nobody@127.0.0.1:1/none'), /ECONNREFUSED|could not be brought up to date/)
})
