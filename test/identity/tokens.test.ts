import { createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { inspect } from 'node:util'

import t from 'tap'

import { isPersonalToken, mintPersonalToken, readPersonalToken } from '../../src/identity/personal-token.ts'
import { AUDIENCE, decode, encode, forge, loginHeader, openGate, outcome, PASSWORD, PUBLIC_URL, signingKey } from './harness.ts'

const INVALID = 'PORTCULLIS_INVALID_TOKEN'
const MISSING = 'PORTCULLIS_UNAUTHENTICATED'

t.test('an access token', async (t) => {
  const gate = await openGate(t)
  const { identity } = gate
  const key = await signingKey(gate)
  const pair = await identity.login('admin', PASSWORD, '192.0.2.1')
  const good = pair.access_token
  const header = decode(good, 0)
  const claims = decode(good, 1)
  const present = (token: string) => async () => await identity.authenticate(`Bearer ${token}`)

  await t.test('is ES256, at+jwt, with the claims of RFC 9068, a grant and a token version, for fifteen minutes', async (t) => {
    t.same(header, { alg: 'ES256', typ: 'at+jwt', kid: key.kid })
    t.same(Object.keys(claims).sort(), ['aud', 'client_id', 'exp', 'gid', 'iat', 'iss', 'jti', 'scope', 'sub', 'tv'])
    t.equal(claims.iss, PUBLIC_URL)
    t.equal(claims.aud, AUDIENCE)
    t.equal(Number(claims.exp) - Number(claims.iat), 900)
    t.equal(pair.expires_in, 900)
    t.equal(pair.token_type, 'Bearer')
  })

  await t.test('becomes the principal, and synchronously so from the second time on (17)', async (t) => {
    const first = await identity.authenticate(`Bearer ${good}`)
    const second = identity.authenticate(`Bearer ${good}`)
    t.notOk(second instanceof Promise)
    t.equal(second, first)
    t.match(first, { id: claims.sub, name: 'admin', roles: ['admin'], tokenId: claims.jti, tokenKind: 'access', clientId: 'portcullis', scopes: null })
    t.equal(await outcome(async () => await identity.authenticate(`bearer ${good}`)), 'ok', 'the scheme in any case')
    t.equal(await outcome(async () => await identity.authenticate(`BEARER  ${good}`)), 'ok', 'more than one space')
  })

  await t.test('made with the real key but other contents proves that the forge works', async (t) => {
    t.equal(await outcome(present(forge(header, { ...claims, jti: 'another' }, key.privateKey))), 'ok')
  })

  const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const foreignPem = foreign.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const body = `${encode({ ...header, alg: 'HS256' })}.${encode(claims)}`
  const hs256 = `${body}.${createHmac('sha256', key.publicKey).update(body).digest('base64url')}`
  const { kid: _kid, ...keyless } = header
  const past = Math.floor(Date.now() / 1000) - 60
  const signatures: Record<string, string> = {
    'alg none': `${encode({ ...header, alg: 'none' })}.${encode(claims)}.`,
    'alg none with the old signature': `${encode({ ...header, alg: 'none' })}.${good.split('.').slice(1).join('.')}`,
    'HS256 keyed with the public PEM': hs256,
    'a foreign key under our key id': forge(header, claims, foreignPem),
    'a foreign key embedded as jwk': forge({ ...header, jwk: createPublicKey(foreign.publicKey.export({ type: 'spki', format: 'pem' })).export({ format: 'jwk' }) }, claims, foreignPem),
    'no key id': forge(keyless, claims, key.privateKey),
    'an unknown key id': forge({ ...header, kid: 'somebody-else' }, claims, key.privateKey),
    'a key id that is no string': forge({ ...header, kid: { $ne: null } }, claims, key.privateKey),
    'an unknown critical header': forge({ ...header, crit: ['exp'] }, claims, key.privateKey),
    'a cut signature': good.slice(0, -2),
    'a payload swapped under the signature': `${good.split('.')[0]}.${encode({ ...claims, sub: claims.gid })}.${good.split('.')[2]}`,
    'half of it': good.slice(0, 40),
    'two dots': '..',
    'no dot': 'abc',
  }
  const contents: Record<string, string> = {
    'an expiry in the past': forge(header, { ...claims, exp: past }, key.privateKey),
    'not valid yet': forge(header, { ...claims, nbf: past + 3600 }, key.privateKey),
    'another issuer': forge(header, { ...claims, iss: 'http://gate.example:8081' }, key.privateKey),
    'a user that is not a user id': forge(header, { ...claims, sub: 'admin' }, key.privateKey),
    'a user that does not exist': forge(header, { ...claims, sub: '00000000-0000-4000-8000-000000000000' }, key.privateKey),
    'a token version as text': forge(header, { ...claims, tv: '1' }, key.privateKey),
    'an older token version': forge(header, { ...claims, tv: 0 }, key.privateKey),
  }
  const places: Record<string, string> = {
    'the type of an id token': forge({ ...header, typ: 'JWT' }, claims, key.privateKey),
    'no type': forge({ alg: 'ES256', kid: key.kid }, claims, key.privateKey),
    'the audience of another host': forge(header, { ...claims, aud: 'http://evil.example/mcp' }, key.privateKey),
    'an audience below ours that cannot be an upstream': forge(header, { ...claims, aud: `${AUDIENCE}/files/more` }, key.privateKey),
    'the issuer as the audience': forge(header, { ...claims, aud: PUBLIC_URL }, key.privateKey),
    'several audiences': forge(header, { ...claims, aud: [AUDIENCE, 'http://evil.example/mcp'] }, key.privateKey),
    'an audience that only begins like ours': forge(header, { ...claims, aud: `${AUDIENCE}.evil.example` }, key.privateKey),
  }
  for (const claim of ['iss', 'aud', 'sub', 'exp', 'iat', 'jti', 'client_id', 'gid', 'tv']) {
    const { [claim]: _gone, ...rest } = claims
    contents[`no ${claim}`] = forge(header, rest, key.privateKey)
  }
  const attacks = Object.entries({ 14: signatures, 15: contents, 16: places }).flatMap(([number, group]) => Object.entries(group).map(([name, token]) => ({ name: `${name} (${number})`, token })))

  await t.test('that is refused is in no part of the error, its causes included', async (t) => {
    for (const token of [...attacks.map(({ token }) => token), 'portcullis_pat_' + 'canary'.repeat(8), 'a.canary.b']) {
      const dump = inspect(await identityError(present(token)), { depth: 20, showHidden: true })
      for (const part of token.split('.')) if (part.length >= 12) t.notOk(dump.includes(part.slice(0, 40)), part.slice(0, 20))
    }
    const wrong = inspect(await identityError(async () => await identity.login('admin', 'canary-password-1', 'x')), { depth: 20, showHidden: true })
    t.notMatch(wrong, 'canary')
    t.notMatch(wrong, 'argon2id')
    t.notMatch(inspect(await identityError(async () => await identity.refresh('portcullis_rt_canary', 'x')), { depth: 20, showHidden: true }), 'canary')
  })

  for (const { name, token } of attacks) {
    await t.test(`is refused with ${name}, and again when it comes back`, async (t) => {
      t.equal(await outcome(present(token)), INVALID)
      t.equal(await outcome(present(token)), INVALID)
    })
  }

  await t.test('is not for calls without the scope of calls, and says so', async (t) => {
    const narrow = forge(header, { ...claims, scope: 'openid' }, key.privateKey)
    for (const time of ['once', 'and again']) t.equal(await outcome(present(narrow)), 'PORTCULLIS_INSUFFICIENT_SCOPE', time)
  })

  await t.test('that is remembered does not let a tampered copy of itself through (18)', async (t) => {
    t.equal(await outcome(present(good)), 'ok')
    for (const at of [10, 200, good.length - 30, good.length - 3]) {
      const swapped = good[at] === 'A' ? 'B' : 'A'
      t.equal(await outcome(present(good.slice(0, at) + swapped + good.slice(at + 1))), INVALID, `sign ${at} changed`)
    }
  })

  await t.test('that is remembered ends when it expires', async (t) => {
    t.notOk(identity.authenticate(`Bearer ${good}`) instanceof Promise)
    gate.clock.ahead = 931_000
    t.equal(await outcome(present(good)), INVALID)
    await t.rejects(present(good)(), { message: /expired.*\/auth\/refresh/ })
    gate.clock.ahead = 0
  })

  await t.test('that is remembered ends with the logout (18)', async (t) => {
    const mine = await loginHeader(gate)
    await identity.authenticate(mine)
    t.notOk(identity.authenticate(mine) instanceof Promise)
    await identity.logout(mine, '192.0.2.1')
    t.equal(await outcome(async () => await identity.authenticate(mine)), INVALID)
    t.equal(await outcome(present(good)), 'ok', 'another login of the same user goes on')
  })

  await t.test('of no header, another scheme or a bare token is refused with a sentence that repeats nothing of it (17)', async (t) => {
    const sent: [string | undefined, RegExp][] = [
      [undefined, /Authentication required/], ['', /Authentication required/],
      [`Basic ${Buffer.from('admin:hunter2hunter2').toString('base64')}`, /basic scheme.*Bearer/],
      ['Bearer', /no usable token/], ['Bearer ', /no usable token/], [`Bearer ${good} ${good}`, /no usable token/],
      [good, /the word Bearer/], [`Bearer:${good}`, /the word Bearer/],
    ]
    for (const [value, sentence] of sent) {
      const error = await identityError(async () => await identity.authenticate(value))
      t.equal(error.code, MISSING)
      t.match(error.message, sentence)
      t.notMatch(error.message, good.slice(0, 20))
      t.notMatch(error.message, 'hunter2')
    }
    t.match(await identityError(async () => await identity.authenticate(`Bearer ${'a'.repeat(9000)}`)), { code: INVALID, message: /longer than 8192/ })
  })
})

t.test('a personal access token', async (t) => {
  const gate = await openGate(t)
  const { identity, database } = gate
  const admin = await identity.authenticate(await loginHeader(gate))
  const create = async (more: { scopes?: string[] | null, days?: number } = {}) => await identity.createToken({ user: admin, name: 'laptop', source: '192.0.2.1', ...more })
  const present = (token: string) => async () => await identity.authenticate(`Bearer ${token}`)

  await t.test('has a name that scanners find, 256 random bits and a checksum', async (t) => {
    const { token, hash, prefix } = mintPersonalToken()
    t.match(token, /^portcullis_pat_[\w-]{43}_[0-9a-z]{6}$/)
    t.ok(isPersonalToken(token))
    t.ok(token.startsWith(prefix))
    t.same(readPersonalToken(token), hash)
    for (let at = 15; at < token.length; at += 7) {
      const other = token[at] === 'x' ? 'y' : 'x'
      t.equal(readPersonalToken(token.slice(0, at) + other + token.slice(at + 1)), undefined)
    }
    t.equal(readPersonalToken(token.slice(0, -1)), undefined)
  })

  await t.test('acts for its user, within its scopes', async (t) => {
    const { token, id } = await create({ scopes: ['files/read_*', 'files/read_*'] })
    const principal = await present(token)()
    t.match(principal, { id: admin.id, name: 'admin', roles: ['admin'], tokenId: id, tokenKind: 'personal', clientId: 'portcullis' })
    t.same(principal.scopes, ['files/read_*'])
    t.equal(identity.authenticate(`Bearer ${token}`), principal)
    t.equal((await present((await create()).token)()).scopes, null)
  })

  await t.test('is stored as a hash, and listed without its secret', async (t) => {
    const { token } = await create()
    const { rows } = await database.pool.query('select t::text as row from personal_access_tokens t')
    t.notMatch(JSON.stringify(rows), token.slice(25, 50))
    const listed = JSON.stringify(await identity.listTokens(admin.id))
    t.match(listed, token.slice(0, 21))
    t.notMatch(listed, token.slice(25, 50))
  })

  await t.test('with a wrong checksum costs no query', async (t) => {
    const { token } = await create()
    const wrong = token.slice(0, -1) + (token.endsWith('a') ? 'b' : 'a')
    let queries = 0
    const count = (): void => { queries += 1 }
    database.pool.on('acquire', count)
    t.match(await identityError(present(wrong)), { code: INVALID, message: /checksum/ })
    t.equal(queries, 0)
    t.match(await identityError(present(mintPersonalToken().token)), { code: INVALID, message: /not known here/ })
    t.equal(queries, 1, 'a well-formed one is looked up')
    database.pool.off('acquire', count)
  })

  await t.test('ends at its expiry, remembered or not, and says when and what to do', async (t) => {
    const { token } = await create({ days: 1 })
    await present(token)()
    t.notOk(identity.authenticate(`Bearer ${token}`) instanceof Promise)
    gate.clock.ahead = 86_400_001
    t.match(await identityError(present(token)), { code: INVALID, message: /expired on \d{4}-\d\d-\d\d.*portcullis token create/ })
    gate.clock.ahead = 0
  })

  await t.test('lives 90 days unless said otherwise, 365 at most', async (t) => {
    const created = await create()
    t.equal((Date.parse(created.expiresAt) - Date.parse(created.createdAt)) / 86_400_000, 90)
    for (const days of [0, 366, 1.5, -1]) t.match(await identityError(async () => await create({ days })), { code: 'PORTCULLIS_INVALID_REQUEST', message: /1 to 365/ })
  })

  await t.test('refuses scopes that are no patterns, without repeating them', async (t) => {
    for (const scopes of [[], ['files'], ['files/'], ['/read'], ['files/a b'], ['Files/x'], ['ok/x', 'bad']]) {
      t.equal((await identityError(async () => await create({ scopes }))).code, 'PORTCULLIS_INVALID_REQUEST', JSON.stringify(scopes))
    }
  })

  await t.test('is refused from the very next call on when it is revoked, and cannot be revoked by another user', async (t) => {
    const { token, id } = await create()
    await present(token)()
    t.notOk(identity.authenticate(`Bearer ${token}`) instanceof Promise)
    t.equal(await outcome(async () => await identity.revokeToken({ id, userId: '00000000-0000-4000-8000-000000000000', source: 'x' })), 'PORTCULLIS_NOT_FOUND')
    t.equal(await outcome(async () => await identity.revokeToken({ id: 'not-a-uuid', userId: admin.id, source: 'x' })), 'PORTCULLIS_NOT_FOUND')
    t.equal(await outcome(present(token)), 'ok')
    await identity.revokeToken({ id, userId: admin.id, source: '192.0.2.1' })
    t.match(await identityError(present(token)), { code: INVALID, message: /was revoked/ })
  })

  await t.test('has the time of its last use noted in batches, not by calls', async (t) => {
    const { token, id } = await create()
    const lastUse = async (): Promise<string | null | undefined> => (await identity.listTokens(admin.id)).find((each) => each.id === id)?.lastUsedAt
    for (let call = 0; call < 50; call++) await present(token)()
    t.equal(await lastUse(), null)
    const other = await openGate(t, { database, data: gate.data })
    await other.identity.authenticate(`Bearer ${token}`)
    await other.identity.close()
    t.type(await lastUse(), 'string', 'noted when that gateway closed')
  })
})

async function identityError (work: () => unknown): Promise<Error & { code: string }> {
  try {
    await work()
  } catch (error) {
    if (error instanceof Error && 'code' in error) return error as Error & { code: string }
    throw error
  }
  throw new Error('was not refused')
}
