import argon2 from 'argon2'
import t from 'tap'

import { openHashQueue } from '../../src/identity/hash-queue.ts'
import { generatePassword, readPassword } from '../../src/identity/password-rules.ts'
import { addUser, findUser, setDisabled } from '../../src/identity/users.ts'
import type { UsersDeps } from '../../src/identity/users.ts'
import { openPasswords } from '../../src/identity/passwords.ts'
import { decode, loginHeader, openGate, outcome, PASSWORD, sha256 } from './harness.ts'
import type { Gate } from './harness.ts'

const BAD = 'PORTCULLIS_BAD_CREDENTIALS'
const INVALID = 'PORTCULLIS_INVALID_TOKEN'
const FROM = '192.0.2.1'

async function usersOf (gate: Gate): Promise<UsersDeps> {
  return { db: gate.database.db, passwords: await openPasswords(), audit: () => undefined, now: Date.now }
}

async function failure (work: () => Promise<unknown>): Promise<Error & { code: string, data: Record<string, unknown>, headers: Record<string, string> }> {
  try {
    await work()
  } catch (error) {
    return error as Error & { code: string, data: Record<string, unknown>, headers: Record<string, string> }
  }
  throw new Error('did not fail')
}

t.test('a login', async (t) => {
  const gate = await openGate(t)
  const { identity, database, events } = gate
  const users = await usersOf(gate)
  await addUser(users, { name: 'Bo', roles: ['user'], password: PASSWORD }, { source: 'test' })
  await addUser(users, { name: 'gone', roles: ['user'], password: PASSWORD }, { source: 'test' })
  await setDisabled(users, await findUser(database.db, 'gone'), true, { source: 'test' })
  const login = async (name: string, password: string) => await identity.login(name, password, FROM)

  await t.test('works with the name in any case and the password in any Unicode form', async (t) => {
    t.match(await login('BO', PASSWORD), { token_type: 'Bearer', expires_in: 900 })
    await addUser(users, { name: 'nfkc', roles: [], password: 'caf\u00e9 nim\u00e9rique 5' }, { source: 'test' })
    t.equal(await outcome(async () => await login('nfkc', 'cafe\u0301 nime\u0301rique 5')), 'ok')
  })

  await t.test('is recorded before the tokens are handed out', async (t) => {
    t.match(events.at(-1), { kind: 'login', outcome: 'ok', principal: { name: 'nfkc' }, source: FROM })
  })

  await t.test('fails alike for a wrong password, an unknown name, a disabled user, one without a password and impossible input: one verification, as many queries, one text (34)', async (t) => {
    await database.pool.query("insert into users (username, username_norm, password_hash, password_changed_at) values ('sso', 'sso', null, now())")
    const queries = new Set<number>()
    let asked = 0
    const count = (): void => { asked += 1 }
    database.pool.on('acquire', count)
    t.teardown(() => database.pool.off('acquire', count))
    const cases: [string, string][] = [['bo', 'wrong-password-1'], ['nobody', 'wrong-password-1'], ['gone', PASSWORD], ['sso', 'wrong-password-1'], ['nul\0l', 'x'], ['bo', 'x'.repeat(1000)], ["' or 1=1 --", '']]
    const texts = new Set<string>()
    for (const [name, password] of cases) {
      const before = identity.status.passwords.hashes
      asked = 0
      const error = await failure(async () => await login(name, password))
      queries.add(asked)
      t.equal(identity.status.passwords.hashes - before, 1, `${JSON.stringify(name)}: one verification`)
      const { record, ...data } = error.data
      t.match(record, /^record-/)
      texts.add(JSON.stringify([error.code, error.message, data, error.headers]))
    }
    t.equal(texts.size, 1)
    t.equal(queries.size, 1, [...queries].join())
    t.match([...texts][0], BAD)
  })

  await t.test('that failed is recorded with the user it was about, and never with an unknown name', async (t) => {
    await outcome(async () => await login('bo', 'wrong-password-2'))
    t.match(events.at(-1), { kind: 'login', outcome: 'failed', code: BAD, source: FROM, principal: { name: 'Bo' } })
    await outcome(async () => await login('my-secret-typed-as-a-name', 'x'))
    t.match(events.at(-1), { kind: 'login', outcome: 'failed' })
    t.notMatch(JSON.stringify(events), 'my-secret')
  })

  await t.test('under older parameters gives the same password a new hash', async (t) => {
    const old = await argon2.hash(PASSWORD, { type: argon2.argon2id, memoryCost: 8192, timeCost: 2, parallelism: 1 })
    await database.pool.query("update users set password_hash = $1 where username_norm = 'bo'", [old])
    t.equal(await outcome(async () => await login('bo', PASSWORD)), 'ok')
    const { rows } = await database.pool.query<{ password_hash: string }>("select password_hash from users where username_norm = 'bo'")
    t.match(rows[0]?.password_hash, /^\$argon2id\$v=19\$m=19456,p=1,t=2\$|^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    t.equal(await outcome(async () => await login('bo', PASSWORD)), 'ok')
  })

  await t.test('is not granted when it cannot be recorded', async (t) => {
    const broken = await openGate(t)
    broken.events.push = () => { throw Object.assign(new Error('ledger down'), { code: 'PORTCULLIS_LEDGER_UNAVAILABLE' }) }
    t.equal(await outcome(async () => await broken.identity.login('admin', PASSWORD, FROM)), 'PORTCULLIS_LEDGER_UNAVAILABLE')
  })
})

t.test('after five failures from an address a name waits there, twice as long each time, known or not, and is never locked for good (35)', async (t) => {
  const gate = await openGate(t)
  const { identity, clock, events } = gate
  const good = async (): Promise<string> => await outcome(async () => await identity.login('admin', PASSWORD, FROM))
  const bad = async (name: string): Promise<string> => await outcome(async () => await identity.login(name, 'wrong-password-1', FROM))
  const token = await identity.createToken({ user: await identity.authenticate(await loginHeader(gate)), name: 'ci', source: FROM })

  clock.stopped = Date.now()
  for (let n = 0; n < 4; n++) await bad('admin')
  t.equal(await good(), 'ok', 'four failures cost nothing')
  for (let n = 0; n < 5; n++) await bad('admin')
  t.equal(await good(), BAD, 'the right password is refused during the wait')
  t.equal(events.at(-1)?.outcome, 'limited')
  t.equal(await outcome(async () => await identity.authenticate(`Bearer ${token.token}`)), 'ok', 'tokens are not affected')
  t.equal(await outcome(async () => await identity.login('admin', 'wrong-password-1', '198.51.100.7')), BAD)
  t.equal(events.at(-1)?.outcome, 'failed', 'at another address nobody waits')
  clock.ahead += 2001
  t.equal(await bad('admin'), BAD)
  clock.ahead += 2001
  t.equal(await good(), BAD, 'the sixth failure waits four seconds')
  clock.ahead += 2000
  t.equal(await good(), 'ok')
  t.equal(await good(), 'ok', 'and all is forgiven')

  for (let n = 0; n < 16; n++) {
    await bad('admin')
    clock.ahead += 900_000
  }
  t.equal(await good(), 'ok', 'after sixteen failures fifteen minutes are enough')

  for (let n = 0; n < 5; n++) await bad('nobody')
  await bad('nobody')
  t.equal(events.at(-1)?.outcome, 'limited', 'unknown names wait too')
  const { rows } = await gate.database.pool.query("select encode(key_hmac, 'escape') as key from login_attempts")
  t.equal(rows.length, 3, 'of the name at this address and anywhere, and of what failed elsewhere before')
  t.notMatch(JSON.stringify(rows), 'nobody')
})

t.test('who keeps failing at one address does not keep the owner of the name out, and many addresses do not guess for ever (35)', async (t) => {
  const { identity, clock, events } = await openGate(t)
  const from = async (source: string, password: string): Promise<string> => {
    const result = await outcome(async () => await identity.login('admin', password, source))
    return result === BAD ? String(events.at(-1)?.outcome) : result
  }
  clock.stopped = Date.now()
  for (let n = 0; n < 20; n++) {
    await from('2001:db8::1', 'wrong-password-1')
    clock.ahead += 900_000
  }
  await from('2001:db8::1', 'wrong-password-1')
  t.equal(await from('2001:db8::1', PASSWORD), 'limited')
  t.equal(await from('2001:db8:0:0:ffff::2', PASSWORD), 'limited', 'another address of the same network')
  t.equal(await from('2001:db8:0:1::1', PASSWORD), 'ok', 'the owner, somewhere else')

  let failed = 0
  for (let host = 1; host <= 30; host++) {
    for (let n = 0; n < 5; n++) if (await from(`198.51.100.${host}`, 'wrong-password-1') === 'failed') failed += 1
  }
  t.equal(failed, 100, 'of 150 tries from 30 addresses')
  t.equal(await from('192.0.2.200', PASSWORD), 'limited')
  clock.ahead += 2001
  t.equal(await from('192.0.2.200', PASSWORD), 'ok')
})

t.test('hashing', async (t) => {
  await t.test('happens two at a time; the 53rd waiter, and one who waits too long, are told when to come back', async (t) => {
    const queue = openHashQueue({ running: 2, waiting: 50, patience: 60_000 })
    let peak = 0
    const gates: (() => void)[] = []
    const work = async (): Promise<void> => {
      peak = Math.max(peak, queue.running)
      await new Promise<void>((resolve) => gates.push(resolve))
    }
    const all = Array.from({ length: 52 }, async () => await queue.turn(work))
    t.equal(queue.waiting, 50)
    t.match(await failure(async () => await queue.turn(work)), { code: 'PORTCULLIS_OVERLOADED', status: 503, headers: { 'retry-after': '60' } })
    while (queue.running > 0) {
      gates.shift()?.()
      await new Promise(setImmediate)
    }
    await Promise.all(all)
    t.equal(peak, 2)

    const impatient = openHashQueue({ running: 1, waiting: 5, patience: 20 })
    let free = (): void => {}
    const first = impatient.turn(async () => await new Promise<void>((resolve) => { free = resolve }))
    t.equal((await failure(async () => await impatient.turn(async () => {}))).code, 'PORTCULLIS_OVERLOADED')
    t.equal(impatient.waiting, 0)
    free()
    await first
    t.equal(await outcome(async () => await impatient.turn(async () => {})), 'ok', 'the place is free again')
    t.equal(await outcome(async () => await impatient.turn(async () => { throw Object.assign(new Error('x'), { code: 'X' }) })), 'X')
    t.equal(impatient.running, 0)
  })

  await t.test('of a hundred logins at once: 52 go through, the others are refused before any hash', async (t) => {
    const { identity } = await openGate(t)
    const before = identity.status.passwords.hashes
    const results = await Promise.all(Array.from({ length: 100 }, async () => await outcome(async () => await identity.login('admin', PASSWORD, FROM))))
    const ok = results.filter((result) => result === 'ok').length
    t.equal(results.filter((result) => result === 'PORTCULLIS_OVERLOADED').length, 100 - ok)
    t.ok(ok >= 2 && ok <= 52)
    t.equal(identity.status.passwords.hashes - before, ok)
    t.equal(identity.status.passwords.refused, 100 - ok)
  })
})

t.test('a new password', async (t) => {
  const accepted = ['plum-harbour-quilt-97', 'seven wet green apples', generatePassword(), 'cinqui\u00e8me \u00e9t\u00e9 \u00e0 vaison', `${'plum-harbour-quilt-97 '.repeat(5)}${'x'.repeat(18)}`]
  const refused: [string, RegExp][] = [
    ['short1!', /at least 12/], ['\u{1F600}'.repeat(11), /at least 12/], ['a'.repeat(129), /at most 128/],
    ['aaaaaaaaaaaaaa', /repeated/], ['abababababab12', /repeated/], ['Zx9!Zx9!kQ7w', /guess/], ['\u{1F600}ab'.repeat(5) + 'cde', /repeated/], ['passwordpassword', /repeated/],
    ['password12345', /close to a password that is often used/], ['P4ssw0rd!2026', /close to a password/], ['iloveyou123456', /close to a password/], ['1qaz2wsx3edc4rfv', /often used/], ['liverpoolfc1892', /guess/],
    ['qwertyuiop123', /guess/], ['1234567890123', /guess/], ['Welcome-2026!!', /guess/], ['Michael19870412', /a date/], ['abcdefghijklm', /sequence/],
    ['portcullis-2026', /belongs to this gateway/], ['administrator1', /guess/], ['hannelore-1987', /the user name/], ['H4nn3l0re2024', /the user name/], ['correcthorsebatterystaple', /guess/],
  ]
  for (const password of accepted) t.equal(await readPassword(password, 'hannelore'), password.normalize('NFKC'), password)
  for (const [password, reason] of refused) {
    const error = await failure(async () => await readPassword(password, 'Hannelore'))
    t.match(error, { code: 'PORTCULLIS_INVALID_REQUEST', message: reason }, password)
    t.notOk(error.message.includes(password), 'the password is not repeated')
  }
  t.equal(new Set(Array.from({ length: 100 }, generatePassword)).size, 100)
})

t.test('changing the own password ends every login and starts a new one', async (t) => {
  const gate = await openGate(t)
  const { identity, events } = gate
  const elsewhere = await identity.login('admin', PASSWORD, FROM)
  const header = await loginHeader(gate)
  const principal = await identity.authenticate(header)
  const pat = await identity.createToken({ user: principal, name: 'ci', source: FROM })
  const change = async (old: string, next: string) => await identity.changePassword(principal, { old, new: next }, FROM)

  t.equal(await outcome(async () => await change('wrong-password-1', 'violet-cargo-mint-31')), BAD)
  t.equal(await outcome(async () => await change(PASSWORD, 'password1234')), 'PORTCULLIS_INVALID_REQUEST')
  t.equal(await outcome(async () => await identity.authenticate(header)), 'ok', 'a refused change ends nothing')
  const pair = await change(PASSWORD, 'violet-cargo-mint-31')
  t.match(events.at(-1), { kind: 'user', outcome: 'ok', detail: { action: 'passwd' } })
  t.equal(await outcome(async () => await identity.authenticate(header)), INVALID)
  t.equal(await outcome(async () => await identity.authenticate(`Bearer ${elsewhere.access_token}`)), INVALID)
  t.equal(await outcome(async () => await identity.refresh(elsewhere.refresh_token, FROM)), INVALID)
  t.equal(await outcome(async () => await identity.authenticate(`Bearer ${pair.access_token}`)), 'ok')
  t.equal(await outcome(async () => await identity.refresh(pair.refresh_token, FROM)), 'ok')
  t.equal(await outcome(async () => await identity.authenticate(`Bearer ${pat.token}`)), 'ok', 'personal access tokens stay')
  t.equal(await outcome(async () => await identity.login('admin', PASSWORD, FROM)), BAD)
})

t.test('a refresh token', async (t) => {
  const gate = await openGate(t)
  const { identity, database, clock, events } = gate
  const refresh = async (token: string) => await identity.refresh(token, FROM)

  await t.test('is opaque, 256 bits, and kept as a hash only', async (t) => {
    const { refresh_token: token } = await identity.login('admin', PASSWORD, FROM)
    t.match(token, /^portcullis_rt_[\w-]{43}$/)
    const { rows } = await database.pool.query('select a::text as row from oauth_artifacts a')
    t.notMatch(JSON.stringify(rows), token.slice(14))
    t.match(JSON.stringify(rows), sha256(token))
  })

  await t.test('gives a new pair of the same login, each time', async (t) => {
    const first = await identity.login('admin', PASSWORD, FROM)
    const second = await refresh(first.refresh_token)
    const third = await refresh(second.refresh_token)
    t.equal(new Set([first.refresh_token, second.refresh_token, third.refresh_token]).size, 3)
    const grants = [first, second, third].map((pair) => decode(pair.access_token, 1).gid)
    t.equal(new Set(grants).size, 1)
    t.equal(await outcome(async () => await identity.authenticate(`Bearer ${third.access_token}`)), 'ok')
  })

  await t.test('may be used five times at once within the grace, and each result goes on', async (t) => {
    const { refresh_token: token } = await identity.login('admin', PASSWORD, FROM)
    const pairs = await Promise.all(Array.from({ length: 5 }, async () => await refresh(token)))
    for (const pair of pairs) t.equal(await outcome(async () => await refresh(pair.refresh_token)), 'ok')
  })

  await t.test('that comes back after the grace ends the whole login, its access tokens included', async (t) => {
    const first = await identity.login('admin', PASSWORD, FROM)
    const other = await identity.login('admin', PASSWORD, FROM)
    const second = await refresh(first.refresh_token)
    clock.ahead += 29_000
    const sibling = await refresh(first.refresh_token)
    t.equal(await outcome(async () => await identity.authenticate(`Bearer ${second.access_token}`)), 'ok')
    clock.ahead += 2000
    t.equal(await outcome(async () => await refresh(first.refresh_token)), INVALID)
    t.match(events.at(-1), { kind: 'token', outcome: 'reused', principal: { name: 'admin' }, source: FROM })
    for (const pair of [first, second, sibling]) {
      t.equal(await outcome(async () => await identity.authenticate(`Bearer ${pair.access_token}`)), INVALID)
      t.equal(await outcome(async () => await refresh(pair.refresh_token)), INVALID)
    }
    t.equal(await outcome(async () => await identity.authenticate(`Bearer ${other.access_token}`)), 'ok', 'another login of the user goes on')
  })

  await t.test('ends with the logout, also when it is used at the same moment', async (t) => {
    for (let round = 0; round < 10; round++) {
      const pair = await identity.login('admin', PASSWORD, FROM)
      const [result] = await Promise.allSettled([refresh(pair.refresh_token), identity.logout(`Bearer ${pair.access_token}`, FROM)])
      const next = result.status === 'fulfilled' ? result.value : pair
      t.equal(await outcome(async () => await refresh(next.refresh_token)), INVALID)
      t.equal(await outcome(async () => await identity.authenticate(`Bearer ${next.access_token}`)), INVALID)
    }
    t.match(events.filter(({ kind }) => kind === 'logout').length, 10)
  })

  await t.test('ends after thirty days of silence, and ninety days after the login in any case', async (t) => {
    const DAY = 86_400_000
    const idle = await identity.login('admin', PASSWORD, FROM)
    let busy = (await identity.login('admin', PASSWORD, FROM)).refresh_token
    for (const days of [29, 29, 29]) {
      clock.ahead += days * DAY
      busy = (await refresh(busy)).refresh_token
    }
    t.equal(await outcome(async () => await refresh(idle.refresh_token)), INVALID)
    clock.ahead += 4 * DAY
    t.equal(await outcome(async () => await refresh(busy)), INVALID)
  })

  await t.test('of a disabled user, or made up, is refused with the same text', async (t) => {
    const pair = await identity.login('admin', PASSWORD, FROM)
    const users = await usersOf(gate)
    const admin = await findUser(database.db, 'admin')
    await setDisabled(users, admin, true, { source: 'test' })
    const disabled = await failure(async () => await refresh(pair.refresh_token))
    await setDisabled(users, admin, false, { source: 'test' })
    const invented = await failure(async () => await refresh('portcullis_rt_x'))
    const ended = await failure(async () => await refresh(pair.refresh_token))
    t.equal(disabled.message, invented.message)
    t.equal(ended.message, invented.message, 'enabling does not bring it back')
  })

  await t.test('is swept away when it has expired', async (t) => {
    const { sweepExpired } = await import('../../db/refresh-tokens.ts')
    await sweepExpired(database.db, new Date(Date.now() + 400 * 86_400_000), 1000)
    const { rows } = await database.pool.query('select from oauth_artifacts union all select from token_revocations')
    t.equal(rows.length, 0)
  })
})

t.test('while somebody waits, there is a rest between one turn and the next; who finds nobody has none', async (t) => {
  const queue = openHashQueue({ running: 1, waiting: 5, patience: 5_000, rest: 60 })
  const times: number[] = []
  const work = async (): Promise<void> => { times.push(performance.now()) }
  await Promise.all([queue.turn(work), queue.turn(work)])
  const [first = 0, second = 0] = times
  t.ok(second - first >= 55, 'the processor is left to others')
  t.equal(queue.running, 0)
})
