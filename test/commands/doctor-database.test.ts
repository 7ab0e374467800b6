import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { migrateDatabase } from '../../src/commands/db.ts'
import { doctor } from '../../src/commands/doctor.ts'
import { freePort, startGateway } from '../support/gateway.ts'

t.test('the doctor names migrations that are pending and rights that the role of the gateway lacks', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-doctor-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { gateway, database } = await startGateway(t, { folder })
  await gateway.close(0)
  const metrics = `${await freePort()}`
  const consult = async (url: string): Promise<{ code: number, text: string }> => {
    let text = ''
    const code = await doctor({ env: { PATH: process.env['PATH'], METRICS_PORT: metrics, PORTCULLIS_CONFIG: join(folder, 'upstreams.yaml'), PORTCULLIS_DATA: join(folder, 'data'), DATABASE_URL: url }, out: (said) => { text += said } })
    return { code, text }
  }

  const { rows: [last] } = await database.pool.query<{ name: string, timestamp: string }>('delete from kysely_migration where name = (select max(name) from kysely_migration) returning name, timestamp')
  const behind = await consult(database.url)
  t.match(behind.text, new RegExp(`^warning +database +It answers; 1 migration pending: ${last?.name}\\. → The next start of the gateway does them, or \`portcullis db migrate\` as its owner\\.$`, 'm'))
  t.match(behind.text, /\n0 failed, 1 warning, \d+ ok\.\n$/, 'one is not several')
  t.equal(behind.code, 0, 'the next start mends it')
  await database.pool.query('insert into kysely_migration (name, timestamp) values ($1, $2)', [last?.name, last?.timestamp])

  const role = `doctor_${process.pid}`
  await database.pool.query(`create role ${role} login password 'teapot'`)
  t.teardown(async () => {
    await database.pool.query(`drop owned by ${role}`)
    await database.pool.query(`drop role ${role}`)
  })
  await migrateDatabase({ data: '', databaseUrl: database.url, out: () => {} }, role)
  const url = Object.assign(new URL(database.url), { username: role, password: 'teapot' }).href
  const able = await consult(url)
  t.match(able.text, /^ok +database +It answers, its schema is current, and the role may do what a gateway does and no more\.$/m)

  await database.pool.query(`revoke delete on users from ${role}`)
  const lacking = await consult(url)
  t.match(lacking.text, /^failed +database +It answers, and the role lacks rights to change users\. → Run `portcullis db migrate --grant <role>` with the DATABASE_URL of the owner\.$/m)
  t.equal(lacking.code, 1)
})
