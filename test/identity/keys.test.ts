import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import t from 'tap'

import { insertFirstKey, loadKeys } from '../../db/keys.ts'
import { challenge } from '../../src/identity/challenge.ts'
import { openMasterKey } from '../../src/identity/master-key.ts'
import { openPasswords } from '../../src/identity/passwords.ts'
import { openSigningKeys } from '../../src/identity/signing-keys.ts'
import { addFirstUser } from '../../src/identity/users.ts'
import { readUsername } from '../../src/identity/username.ts'
import { Refusal } from '../../src/errors.ts'
import { decode, forge, loginHeader, openGate, outcome, PASSWORD, scratch, signingKey } from './harness.ts'
import { testDatabase } from '../support/postgres.ts'

t.test('the master key', async (t) => {
  await t.test('is made at the first start, readable by its owner alone, and stays', async (t) => {
    const data = scratch(t)
    const first = openMasterKey(data)
    t.equal(first.file, join(data, 'keys', 'master.key'))
    t.equal(statSync(first.file).mode & 0o777, 0o600)
    t.equal(statSync(join(data, 'keys')).mode & 0o777, 0o700)
    t.match(readFileSync(first.file, 'utf8'), /^[\w-]{43}\n$/)
    t.same(openMasterKey(data).deriveKey('a'), first.deriveKey('a'))
    t.notOk(openMasterKey(scratch(t)).deriveKey('a').equals(first.deriveKey('a')))
  })

  await t.test('gives every purpose a key of its own', async (t) => {
    const key = openMasterKey(scratch(t))
    t.equal(key.deriveKey('sessions').length, 32)
    t.notOk(key.deriveKey('sessions').equals(key.deriveKey('cursors')))
    t.notMatch(readFileSync(key.file, 'utf8'), key.deriveKey('sessions').toString('base64url'))
  })

  await t.test('seals for one purpose and label, and notices any change', async (t) => {
    const key = openMasterKey(scratch(t))
    const sealed = key.seal('p', 'l', Buffer.from('secret'))
    t.equal(key.open('p', 'l', sealed).toString(), 'secret')
    t.throws(() => key.open('q', 'l', sealed))
    t.throws(() => key.open('p', 'm', sealed))
    t.throws(() => key.open('p', 'l', sealed.subarray(0, -1)))
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ 1
      t.throws(() => key.open('p', 'l', changed))
    }
    t.notSame(sealed, key.seal('p', 'l', Buffer.from('secret')))
  })

  await t.test('that others can read, or that is damaged, is refused with what to do', async (t) => {
    const data = scratch(t)
    const { file } = openMasterKey(data)
    const secret = readFileSync(file, 'utf8').trim()
    chmodSync(file, 0o644)
    t.throws(() => openMasterKey(data), { message: /mode 644.*chmod 600/ })
    chmodSync(file, 0o600)
    writeFileSync(file, secret.slice(0, 20))
    t.throws(() => openMasterKey(data), { message: /backup/ })
    try { openMasterKey(data) } catch (error) { t.notMatch(String(error), secret.slice(0, 20)) }
  })
})

t.test('signing keys', async (t) => {
  await t.test('of five gateways that start at once on an empty database are one key', async (t) => {
    const { db, pool } = await testDatabase(t)
    const master = openMasterKey(scratch(t))
    const all = await Promise.all(Array.from({ length: 5 }, async () => await openSigningKeys({ db, master, now: Date.now })))
    t.equal(new Set(all.map((keys) => keys.active().kid)).size, 1)
    const { rows } = await pool.query<{ private_key: Buffer }>('select private_key from signing_keys')
    t.equal(rows.length, 1)
    t.notOk(rows[0]?.private_key.includes('PRIVATE'))
    t.throws(() => openMasterKey(scratch(t)).open('signing-keys', all[0]?.active().kid ?? '', rows[0]?.private_key ?? Buffer.alloc(0)))
  })

  await t.test('sealed under another master key stop the start, and say which file to copy', async (t) => {
    const { db } = await testDatabase(t)
    const data = scratch(t)
    await openSigningKeys({ db, master: openMasterKey(data), now: Date.now })
    rmSync(join(data, 'keys'), { recursive: true })
    await t.rejects(openSigningKeys({ db, master: openMasterKey(data), now: Date.now }), { message: /another master key.*Copy keys\/master\.key/ })
  })

  await t.test('are published without their private half', async (t) => {
    const gate = await openGate(t)
    const { keys } = gate.identity.jwks()
    t.equal(keys.length, 1)
    t.same(Object.keys(keys[0] ?? {}).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
  })

  await t.test('that another replica has just made are found, and a flood of unknown ones costs one query', async (t) => {
    const gate = await openGate(t)
    const old = await loginHeader(gate)
    const claims = decode(old.slice(7), 1)
    const { rows } = await gate.database.pool.query<{ kid: string }>('update signing_keys set state = \'retired\', retire_at = now() + interval \'1 hour\' returning kid')
    await insertFirstKey(gate.database.db, sealedKey(gate.data), new Date())
    const fresh = await signingKey(gate)
    t.not(fresh.kid, rows[0]?.kid)
    const token = `Bearer ${forge({ alg: 'ES256', typ: 'at+jwt', kid: fresh.kid }, { ...claims, jti: 'rotated' }, fresh.privateKey)}`
    t.equal(await outcome(async () => await gate.identity.authenticate(token)), 'PORTCULLIS_INVALID_TOKEN', 'not in the first five seconds after the last look')
    gate.clock.ahead = 6000
    t.equal(await outcome(async () => await gate.identity.authenticate(token)), 'ok')
    t.equal(await outcome(async () => await gate.identity.authenticate(old)), 'ok', 'the retired key still verifies')

    let queries = 0
    gate.clock.ahead = 20_000
    gate.database.pool.on('acquire', () => { queries += 1 })
    await Promise.all(Array.from({ length: 50 }, async (_, n) => await outcome(async () => await gate.identity.authenticate(`Bearer ${forge({ alg: 'ES256', typ: 'at+jwt', kid: `k${n}` }, claims, fresh.privateKey)}`))))
    t.equal(queries, 1)
  })

  await t.test('that somebody wrote into the table unsealed are not trusted', async (t) => {
    const { db, pool } = await testDatabase(t)
    const master = openMasterKey(scratch(t))
    await openSigningKeys({ db, master, now: Date.now })
    await pool.query("insert into signing_keys select 'evil', alg, private_key, state, not_before, retire_at from signing_keys")
    await t.rejects(openSigningKeys({ db, master, now: Date.now }), { message: /signing key evil/ })
    t.equal((await loadKeys(db, new Date())).length, 2)
  })
})

t.test('at the first start', async (t) => {
  const { db, pool } = await testDatabase(t)
  const events: unknown[] = []
  const deps = { db, passwords: await openPasswords(), audit: (event: unknown) => { events.push(event) }, now: Date.now }
  const by = { source: 'first start' }

  await t.rejects(addFirstUser(deps, 'admin', by), { message: /^PORTCULLIS_ADMIN_PASSWORD cannot be used.*at least 12/ }, 'a weak given password is refused')
  const made = (await Promise.all(Array.from({ length: 3 }, async () => await addFirstUser(deps, undefined, by)))).filter((each) => each !== undefined)
  t.equal(made.length, 1, 'one of three that start at once makes the user')
  t.match(made[0], { user: { name: 'admin', roles: ['admin'] }, generated: /^([0-9a-hjkmnp-tv-z]{4}-){4}[0-9a-hjkmnp-tv-z]{4}$/ })
  t.equal(await addFirstUser(deps, PASSWORD, by), undefined, 'and never again')
  t.equal(events.length, 1)
  t.notMatch(JSON.stringify(events), made[0]?.generated)
  const { rows } = await pool.query<{ password_hash: string }>('select password_hash from users')
  t.match(rows[0]?.password_hash, /^\$argon2id\$/)

  await pool.query('delete from users')
  const given = await addFirstUser(deps, PASSWORD, by)
  t.equal(given?.generated, undefined, 'a given password is not repeated')
})

t.test('a user name is safe in a path', async (t) => {
  for (const name of ['a', 'bo', 'Anna.Maria', 'x@example.org', 'svc-1_b', 'a'.repeat(64)]) t.equal(readUsername(name), name)
  for (const name of ['', '.', '..', '../x', 'a/b', 'a\\b', 'a..b', '.hidden', '-rf', 'a b', 'a\nb', 'a\0b', 'ä', '$HOME', '{x}', 'a'.repeat(65), 'a.']) t.throws(() => readUsername(name), { code: 'PORTCULLIS_INVALID_REQUEST' }, JSON.stringify(name))
})

t.test('the challenge of a 401', async (t) => {
  const url = 'https://gate.example'
  const missing = new Refusal('PORTCULLIS_UNAUTHENTICATED')
  t.equal(challenge(missing, url, '/mcp'), 'Bearer resource_metadata="https://gate.example/.well-known/oauth-protected-resource/mcp", scope="mcp"')
  t.match(challenge(missing, url, '/mcp/files'), 'oauth-protected-resource/mcp/files"')
  for (const path of ['/', '/auth/login', '/mcp/../x', '/mcp/"evil', '/mcp/a/b', '/mcp/\r\nx: y', '/mcpx']) t.match(challenge(missing, url, path), '/oauth-protected-resource/mcp",', path)
  const invalid = challenge(new Refusal('PORTCULLIS_INVALID_TOKEN', { message: 'a "quoted" \\ ü\r\n`text`' }), url, '/mcp')
  t.match(invalid, ', error="invalid_token", error_description="a \'quoted\' \'    \'text\'"')
})

function sealedKey (data: string): { kid: string, privateKey: Buffer } {
  const kid = 'second'
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { kid, privateKey: openMasterKey(data).seal('signing-keys', kid, privateKey.export({ type: 'pkcs8', format: 'der' })) }
}
