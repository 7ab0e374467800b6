import t from 'tap'

import { until } from '../support/gateway.ts'
import { AUDIENCE, DOWN, INVALID, openCompany, startIssuer } from './issuer.ts'

t.test('every kind of signature that may be allowed is understood (40)', async (t) => {
  const algorithms = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']
  const issuers = await Promise.all(algorithms.map(async (alg) => await startIssuer(t, alg)))
  const entry = (at: number): [string, unknown] => [`issuer-${at}`, { issuer: issuers[at]?.issuer, jwks: issuers[at]?.jwks, audience: AUDIENCE, algorithms: [algorithms[at]], roles: { 'tool-users': 'user' } }]
  const { call } = await openCompany(t, { entries: Object.fromEntries(algorithms.map((_, at) => entry(at))) })
  for (const [at, issuer] of issuers.entries()) t.equal(await call(await issuer.token()), '200', String(algorithms[at]))
})

t.test('the keys of an issuer (40)', async (t) => {
  await t.test('are fetched once for any number of tokens, and a storm of unknown key ids fetches them once more', async (t) => {
    const { issuer, call, seen } = await openCompany(t)
    t.equal(await call(await issuer.token()), '200')
    t.equal(issuer.fetches, 1)
    const before = seen()
    const started = Date.now()
    const storm = await Promise.all(Array.from({ length: 50 }, async (_, index) => await call(await issuer.token({}, { kid: `unknown-${index}` }))))
    t.same([...new Set(storm)], [INVALID])
    t.equal(seen(), before, 'the upstream was not contacted')
    t.ok(issuer.fetches <= 2 + (Date.now() - started) / 10_000, `at most once in ten seconds: ${issuer.fetches}`)
  })

  await t.test('rotate: a new one is found, and one that was withdrawn is not accepted any more', async (t) => {
    const { issuer, call } = await openCompany(t)
    await issuer.addKey('k2')
    t.equal(await call(await issuer.token({}, { kid: 'k2' })), '200')
    issuer.removeKey('k1')
    const later = await openCompany(t, { issuer })
    t.equal(await later.call(await issuer.token({}, { kid: 'k2' })), '200')
    await later.refused(t, await issuer.token(), INVALID, 'the old key')
  })

  await t.test('that cannot be had are 503, and tokens that were known go on', async (t) => {
    const { issuer, call, refused, gateway } = await openCompany(t)
    const known = await issuer.token()
    for (const mode of ['error', 'nonsense', 'silence'] as const) {
      issuer.mode = mode
      const fresh = await openCompany(t, { issuer })
      await fresh.refused(t, known, DOWN, mode)
      const { fetches } = issuer
      const started = Date.now()
      for (let times = 0; times < 10; times++) await fresh.refused(t, await issuer.token({ jti: `another-${times}` }), DOWN, `${mode}, once more`)
      // The pauses are 1, 2, 4, … seconds, however slow this machine is.
      t.ok(issuer.fetches - fetches <= Math.log2((Date.now() - started) / 1000 + 1) + 1, `${mode}: an address that failed is left alone: ${issuer.fetches - fetches}`)
      issuer.mode = 'keys'
      await until(async () => await fresh.call(known) === '200', 60_000)
    }
    t.equal(await call(known), '200')
    issuer.mode = 'error'
    t.equal(await call(known), '200', 'it is known')
    await gateway.setRoles('ann', ['admin'])
    t.equal(await call(known), '200', 'whatever changes about its user')
    await gateway.disableUser('ann')
    await until(async () => await call(known) === INVALID)
    await refused(t, known, INVALID, 'but for the user being disabled')
  })
})
