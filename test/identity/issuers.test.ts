import { createHmac, createPublicKey } from 'node:crypto'

import { generateKeyPair, SignJWT } from 'jose'
import t from 'tap'

import { until } from '../support/gateway.ts'
import { encode } from './harness.ts'
import { AUDIENCE, INVALID, openCompany } from './issuer.ts'

t.test('a token of the company (40)', async (t) => {
  const company = await openCompany(t, { require: { tid: 'tenant-1', scope: 'tools' } })
  const { gateway, issuer, call, refused } = company
  const REQUIRED = { tid: 'tenant-1', scope: 'profile tools' }
  const now = Math.floor(Date.now() / 1000)
  const good = await issuer.token(REQUIRED)

  await t.test('is good for calls: the person is made a user, and it is on the record', async (t) => {
    t.equal(await call(good), '200')
    const rows = await gateway.rows({ tool: 'echo' })
    t.match(rows.at(-1), { principal: 'ann', outcome: 'ok' })
    t.match((await gateway.rows({ kind: 'user' })).at(-1), { principal: 'ann', detail: { action: 'add', user: 'ann', via: 'acme' } })
    t.equal(await call(await issuer.token({ ...REQUIRED, jti: 'second' })), '200')
    t.equal((await gateway.database.pool.query('select * from user_identities')).rowCount, 1, 'the second token is of the same user')
  })

  await t.test('has the rights of its groups', async (t) => {
    const client = await gateway.client('/mcp/fixture', good)
    const names = (await client.listTools()).tools.map(({ name }) => name)
    t.ok(names.includes('echo'))
    t.notOk(names.includes('secret'), 'user may not use it')
    const chief = await gateway.client('/mcp/fixture', await issuer.token({ ...REQUIRED, sub: 'chief-1', groups: ['tool-admins', 'else'] }))
    t.ok((await chief.listTools()).tools.some(({ name }) => name === 'secret'))
  })

  await t.test('is refused when anything about it is wrong, and the upstream does not hear of it', async (t) => {
    const pem = createPublicKey({ key: issuer.publicJwk('k1') as never, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
    const claims = { iss: issuer.issuer, aud: AUDIENCE, sub: 'ann-1', exp: now + 3600, iat: now, groups: ['tool-users'], ...REQUIRED }
    const unsigned = `${encode({ alg: 'none', typ: 'at+jwt', kid: 'k1' })}.${encode(claims)}.`
    const body = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: 'k1' })}.${encode(claims)}`
    const stranger = await generateKeyPair('RS256')
    const strange = new SignJWT(claims).setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'k1' })
    const { sub: _sub, ...nobody } = claims
    const attacks: Record<string, string> = {
      'alg none': unsigned,
      'alg none with the old signature': unsigned + (good.split('.')[2] ?? ''),
      'HS256 keyed with the public key': `${body}.${createHmac('sha256', pem).update(body).digest('base64url')}`,
      'the key of a stranger under a known key id': await strange.sign(stranger.privateKey),
      'an algorithm that is not allowed here': await new SignJWT(claims).setProtectedHeader({ alg: 'PS256', typ: 'at+jwt', kid: 'k1' }).sign(await crypto.subtle.importKey('jwk', await crypto.subtle.exportKey('jwk', issuer.privateKey('k1')).then(({ alg: _alg, ...jwk }) => jwk), { name: 'RSA-PSS', hash: 'SHA-256' }, false, ['sign'])),
      'the audience of another service': await issuer.token({ ...REQUIRED, aud: 'api://mail' }),
      'an audience that only begins alike': await issuer.token({ ...REQUIRED, aud: `${AUDIENCE}.evil` }),
      'no audience': await issuer.token({ ...REQUIRED, aud: undefined }),
      'an issuer that is not listed': await issuer.token({ ...REQUIRED, iss: 'https://evil.example' }),
      'an issuer that only begins alike': await issuer.token({ ...REQUIRED, iss: `${issuer.issuer}/` }),
      'the issuer of this gateway': await issuer.token({ ...REQUIRED, iss: gateway.url }),
      'no issuer': await issuer.token({ ...REQUIRED, iss: undefined }),
      'an expiry in the past': await issuer.token({ ...REQUIRED, exp: now - 60 }),
      'no expiry': await issuer.token({ ...REQUIRED, exp: undefined }),
      'not valid yet': await issuer.token({ ...REQUIRED, nbf: now + 3600 }),
      'no subject': await new SignJWT(nobody).setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'k1' }).sign(issuer.privateKey('k1')),
      'a subject that is no text': await issuer.token({ ...REQUIRED, sub: { $ne: null } }),
      'a required claim of another value': await issuer.token({ ...REQUIRED, tid: 'tenant-2' }),
      'a required claim missing': await issuer.token({ scope: 'tools' }),
      'a scope that only contains the word': await issuer.token({ ...REQUIRED, scope: 'tools2 my-tools' }),
      'the type of a logout token': await issuer.token(REQUIRED, { typ: 'logout+jwt' }),
      'an unknown critical header': `${encode({ alg: 'RS256', typ: 'at+jwt', kid: 'k1', crit: ['b64x'], b64x: true })}.${good.split('.').slice(1).join('.')}`,
      'a payload swapped under the signature': `${good.split('.')[0]}.${encode({ ...claims, groups: ['tool-admins'] })}.${good.split('.')[2]}`,
      'a group that has no role': await issuer.token({ ...REQUIRED, sub: 'stranger-1', groups: ['everybody'] }),
      'no groups': await issuer.token({ ...REQUIRED, sub: 'stranger-2', groups: undefined }),
      'groups named like a member of every object': await issuer.token({ ...REQUIRED, sub: 'stranger-3', groups: ['constructor', '__proto__'] }),
      'too many groups to be sent': await issuer.token({ ...REQUIRED, sub: 'stranger-4', groups: undefined, _claim_names: { groups: 'src1' } }),
    }
    for (const [name, token] of Object.entries(attacks)) {
      await refused(t, token, INVALID, name)
      await refused(t, token, INVALID, `${name}, again`)
    }
    t.equal((await gateway.database.pool.query("select * from users where username like '%stranger%'")).rowCount, 0, 'nobody was made a user')
    t.equal(await call(good), '200', 'and the good one still is')
  })

  await t.test('is for calls alone: neither credentials nor the admin API nor the metrics take it', async (t) => {
    const chief = await issuer.token({ ...REQUIRED, sub: 'chief-1', groups: ['tool-admins'], azp: 'portcullis', client_id: 'portcullis' })
    t.equal(await call(chief), '200')
    for (const [path, status] of [['/auth/tokens', 403], ['/auth/grants', 403], ['/admin/api/users', 403], ['/metrics', 403]] as const) {
      t.equal((await fetch(gateway.url + path, { headers: { authorization: `Bearer ${chief}` } })).status, status, path)
    }
    t.equal((await fetch(`${gateway.url}/auth/logout`, { method: 'POST', headers: { authorization: `Bearer ${chief}` } })).status, 403, 'there is no login to end')
  })

  await t.test('never makes its owner a user of the same name', async (t) => {
    await gateway.addUser('eve', ['admin'])
    const eve = await issuer.token({ ...REQUIRED, sub: 'eve-1', preferred_username: 'EVE' })
    t.equal(await call(eve), '200')
    t.match((await gateway.rows({ tool: 'echo' })).at(-1), { principal: 'EVE-acme' })
    const client = await gateway.client('/mcp/fixture', eve)
    t.notOk((await client.listTools()).tools.some(({ name }) => name === 'secret'), 'and has none of her rights')
    t.equal(await call(await issuer.token({ ...REQUIRED, sub: 'admin', preferred_username: 'admin' })), '200')
    t.match((await gateway.rows({ tool: 'echo' })).at(-1), { principal: 'admin-acme' })
  })

  await t.test('ends with its user: who is disabled is refused on the next call', async (t) => {
    const token = await issuer.token({ ...REQUIRED, sub: 'leaver-1', preferred_username: 'leaver' })
    t.equal(await call(token), '200')
    await gateway.disableUser('leaver')
    await until(async () => await call(token) === INVALID)
    await refused(t, token, INVALID, 'disabled')
    await refused(t, await issuer.token({ ...REQUIRED, sub: 'leaver-1', preferred_username: 'other' }), INVALID, 'a new token under another name')
  })

  await t.test('that is sent many times at once makes one user', async (t) => {
    const token = await issuer.token({ ...REQUIRED, sub: 'crowd-1', preferred_username: 'crowd' })
    const others = await Promise.all([1, 2, 3, 4, 5].map(async (jti) => await issuer.token({ ...REQUIRED, sub: 'crowd-1', preferred_username: 'crowd', jti: String(jti) })))
    t.same([...new Set(await Promise.all([token, token, ...others].map(call)))], ['200'])
    t.equal((await gateway.database.pool.query("select * from user_identities where subject = 'crowd-1'")).rowCount, 1)
  })
})
