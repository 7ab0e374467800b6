import pg from 'pg'
import t from 'tap'

import { openDatabase } from '../../db/connect.ts'
import { listen } from '../../db/listen.ts'
import { revokePersonalToken } from '../../db/tokens.ts'
import { openPasswords } from '../../src/identity/passwords.ts'
import { Standings } from '../../src/identity/standing.ts'
import { addUser, findUser, resetPassword, setDisabled, setRoles } from '../../src/identity/users.ts'
import type { UsersDeps } from '../../src/identity/users.ts'
import { loginHeader, openGate, outcome, PASSWORD, scratch, wireTo } from './harness.ts'
import { until } from '../support/until.ts'
import type { Gate } from './harness.ts'
import { testDatabase } from '../support/postgres.ts'

const INVALID = 'PORTCULLIS_INVALID_TOKEN'
const SILENT = 'PORTCULLIS_OVERLOADED'
const BY = { source: 'test' }

/** What a command line does: the same database, none of the gateways' memory. */
async function outside (gate: Gate): Promise<UsersDeps> {
  return { db: gate.database.db, passwords: await openPasswords(), audit: () => undefined, now: Date.now }
}

function isRemembered (gate: Gate, header: string): boolean {
  try {
    return !(gate.identity.authenticate(header) instanceof Promise)
  } catch {
    return false
  }
}

t.test('a change made by another process acts on two gateways within a second', async (t) => {
  const one = await openGate(t)
  const two = await openGate(t, { database: one.database, data: one.data })
  const users = await outside(one)
  await addUser(users, { name: 'bo', roles: ['user'], password: PASSWORD }, BY)
  const bo = await findUser(users.db, 'bo')
  const seen: string[] = []
  two.identity.onChange((userId, standing) => { seen.push(`${userId} ${standing?.disabled} ${standing?.roles.join()}`) })

  /** Both gateways remember the header, then the change happens; resolves with what each says within a second. */
  async function afterwards (header: string, change: () => Promise<unknown>, settled: (gate: Gate) => Promise<boolean>): Promise<void> {
    for (const gate of [one, two]) {
      await gate.identity.authenticate(header)
      await until(async () => await gate.identity.authenticate(header) !== undefined && isRemembered(gate, header))
    }
    await change()
    for (const gate of [one, two]) await until(async () => await settled(gate), 3000)
  }
  const refused = (header: string) => async (gate: Gate): Promise<boolean> => await outcome(async () => await gate.identity.authenticate(header)) === INVALID

  await t.test('roles', async (t) => {
    const header = await loginHeader(one, 'bo')
    await afterwards(header, async () => await setRoles(users, bo, ['auditor', 'user'], BY), async (gate) => (await gate.identity.authenticate(header)).roles.join() === 'auditor,user')
    t.ok(isRemembered(one, header), 'the new roles are remembered in turn')
    await until(() => seen.includes(`${bo.id} false auditor,user`))
  })

  await t.test('a logout on the other gateway', async (t) => {
    const header = await loginHeader(one, 'bo')
    await afterwards(header, async () => await one.identity.logout(header, 'x'), refused(header))
    t.pass()
  })

  await t.test('a revoked personal access token', async (t) => {
    const { token, id } = await one.identity.createToken({ user: bo, name: 'ci', source: 'x' })
    await afterwards(`Bearer ${token}`, async () => await revokePersonalToken(users.db, id, new Date()), refused(`Bearer ${token}`))
    t.pass()
  })

  await t.test('a reset password', async (t) => {
    const header = await loginHeader(one, 'bo')
    await afterwards(header, async () => await resetPassword(users, bo, PASSWORD, BY), refused(header))
    t.pass()
  })

  await t.test('a disabled user, by token and by personal access token, until enabled', async (t) => {
    const header = await loginHeader(two, 'bo')
    const { token } = await two.identity.createToken({ user: bo, name: 'ci', source: 'x' })
    await two.identity.authenticate(`Bearer ${token}`)
    seen.length = 0
    await afterwards(header, async () => await setDisabled(users, bo, true, BY), refused(header))
    for (const gate of [one, two]) t.ok(await refused(`Bearer ${token}`)(gate))
    await until(() => seen.includes(`${bo.id} true auditor,user`), 3000)
    await setDisabled(users, bo, false, BY)
    await until(async () => await outcome(async () => await two.identity.authenticate(`Bearer ${token}`)) === 'ok', 3000)
    t.ok(await refused(header)(two), 'the login does not come back')
  })

  await t.test('a deleted user', async (t) => {
    const header = await loginHeader(one, 'bo')
    await afterwards(header, async () => await one.database.pool.query('with gone as (delete from users where id = $1) select pg_notify(\'identity_changed\', $1::text)', [bo.id]), refused(header))
    t.pass()
  })
})

t.test('a personal access token that is revoked while it is looked up is not remembered', async (t) => {
  const one = await openGate(t)
  const two = await openGate(t, { database: one.database, data: one.data })
  const admin = await findUser(one.database.db, 'admin')
  const { token, id } = await one.identity.createToken({ user: admin, name: 'ci', source: 'x' })
  const header = `Bearer ${token}`
  const blocker = await one.database.pool.connect()
  try {
    // The token is read, then the user waits for this lock, and in between the token is revoked.
    await blocker.query('begin; lock table user_roles in access exclusive mode')
    const first = outcome(async () => await two.identity.authenticate(header))
    await until(async () => (await one.database.pool.query("select from pg_stat_activity where wait_event_type = 'Lock' and query like '%user_roles%' and datname = current_database()")).rowCount === 1)
    await revokePersonalToken(one.database.db, id, new Date())
    await new Promise((resolve) => setTimeout(resolve, 200))
    await blocker.query('commit')
    await first
  } finally {
    blocker.release()
  }
  t.equal(await outcome(async () => await two.identity.authenticate(header)), INVALID)
})

t.test('on the gateway that makes it, a change acts on the very next call', async (t) => {
  const gate = await openGate(t)
  const header = await loginHeader(gate)
  const admin = await gate.identity.authenticate(header)
  const { token, id } = await gate.identity.createToken({ user: admin, name: 'ci', source: 'x' })
  await gate.identity.authenticate(`Bearer ${token}`)
  await gate.identity.revokeToken({ id, userId: admin.id, source: 'x' })
  t.equal(await outcome(async () => await gate.identity.authenticate(`Bearer ${token}`)), INVALID)
  await gate.identity.logout(header, 'x')
  t.equal(await outcome(async () => await gate.identity.authenticate(header)), INVALID)
})

t.test('when the database goes silent', async (t) => {
  const direct = await testDatabase(t)
  const data = scratch(t)
  const wire = await wireTo(t, direct.url)
  const database = await openDatabase({ url: wire.url, data, migrate: false })
  t.teardown(async () => await database.close())
  const gate = await openGate(t, { database, data, maxStale: 600 })
  const users = await outside({ ...gate, database: direct })
  const admin = await findUser(users.db, 'admin')
  const header = await loginHeader(gate)
  await gate.identity.authenticate(header)
  const { token } = await gate.identity.createToken({ user: admin, name: 'ci', source: 'x' })
  const says = async (value: string | undefined): Promise<string> => await outcome(async () => await gate.identity.authenticate(value))
  t.ok(isRemembered(gate, header))

  await t.test('remembered people are let in for a moment, then nobody is (503), and a missing token is still a 401', async (t) => {
    wire.cut()
    await until(async () => await says(header) === SILENT)
    t.notOk(gate.identity.status.fresh)
    t.equal(await says(`Bearer ${token}`), SILENT)
    t.equal(await says(undefined), 'PORTCULLIS_UNAUTHENTICATED')
    await t.rejects(async () => await gate.identity.authenticate(header), { status: 503, message: /identity database cannot be reached/, headers: { 'retry-after': '1' } })
  })

  await t.test('and what changed meanwhile is known when it is back', async (t) => {
    await setDisabled(users, admin, true, BY)
    const told = new Promise((resolve) => gate.identity.onChange((_id, standing) => { if (standing?.disabled === true) resolve(true) }))
    wire.mend()
    await until(async () => await says(header) === INVALID)
    t.equal(await told, true, 'the listeners too')
    await setDisabled(users, admin, false, BY)
    await until(async () => await says(`Bearer ${token}`) === 'ok')
  })
})

t.test('a subscription whose line hangs without breaking takes a new line', async (t) => {
  const { url } = await testDatabase(t)
  const wire = await wireTo(t, url)
  const heard: string[] = []
  let ups = 0
  let alive = 0
  const subscription = await listen({
    url: wire.url,
    channel: 'news',
    heartbeat: 50,
    now: Date.now,
    onNotify: (payload) => { heard.push(payload) },
    onUp: () => { ups += 1 },
    onAlive: () => { alive += 1 },
    onDown: () => { heard.push('down') },
  })
  t.teardown(async () => await subscription.close())
  await until(() => alive > 2)
  wire.freeze()
  await until(() => ups === 2)
  t.same(heard, ['down'])
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query("select pg_notify('news', 'hello')")
  await client.end()
  await until(() => heard.includes('hello'))
  await subscription.close()
  await subscription.close()
})

t.test('what is read while a change is announced is read again', async (t) => {
  const answers: ((roles: string[]) => void)[] = []
  const errors: unknown[] = []
  const standings = new Standings({
    load: async (id) => await new Promise((resolve) => { answers.push((roles) => resolve({ id, username: 'bo', disabled: false, tokenVersion: 1, roles, denied: [] })) }),
    now: Date.now,
    maxStale: 1000,
    onError: (error) => { errors.push(error) },
  })
  t.teardown(() => standings.close())
  const found = standings.get('bo')
  const joined = standings.get('bo')
  t.equal(answers.length, 1, 'two who ask at once cost one query')
  standings.changed('bo')
  answers.shift()?.(['admin'])
  await until(() => answers.length === 1)
  answers.shift()?.(['user'])
  t.same((await found)?.roles, ['user'])
  t.equal(await joined, await found)
  t.equal((await found)?.current, true)

  const stop = standings.onChange(() => { throw new Error('listener') })
  standings.changed('bo')
  t.equal((await found)?.current, false, 'what was known is void at once')
  await until(() => answers.length === 1)
  answers.shift()?.([])
  await until(() => errors.length > 0)
  stop()
})
