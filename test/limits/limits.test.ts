import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'

import { limits } from '../../plugins/limits.ts'
import type { LimitSpec } from '../../src/config/config.ts'
import { Refusal } from '../../src/errors.ts'
import type { CountedCall } from '../../src/limits/restore.ts'
import { Windows } from '../../src/limits/windows.ts'

const hour = 3_600_000
const start = Date.parse('2026-11-23T12:00:00Z')

type Spec = Partial<LimitSpec> & Pick<LimitSpec, 'calls'>
interface Options { specs: Spec[], redisUrl?: string, maxWindows?: number, clock?: { now: number } }

/** A gateway reduced to its limits: GET /call asks for one call, as the caller of the query. */
async function gateway (t: Test, { specs, redisUrl, maxWindows, clock = { now: start } }: Options): Promise<FastifyInstance> {
  const app = Fastify()
  const full: LimitSpec[] = specs.map(({ calls, per = hour, by = ['user', 'tool'], ...rest }) => ({ calls, per, by, line: 1, name: `${calls} per ${per} by ${by.join()} on ${rest.tool ?? 'all'} ${t.fullname}`, ...rest }))
  await app.register(limits, { config: { limits: full, redisUrl }, now: () => clock.now, ...(maxWindows === undefined ? {} : { maxWindows }) })
  app.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof Refusal)) throw error
    return reply.code(error.status).headers(error.headers).send({ code: error.code, message: error.message, rule: error.rule, ...error.data })
  })
  app.get<{ Querystring: Record<string, string> }>('/call', async (request) => {
    const { user = 'alice', roles = 'user', kind = 'tool', target = 'files/read', address = '10.0.0.1' } = request.query
    const [upstream = '', tool = ''] = target.split('/')
    const state = await app.limits.check({ principal: { id: user, roles: roles.split(',') }, kind: kind as 'tool', upstream, tool, address })
    return state ?? { unlimited: true }
  })
  t.teardown(() => app.close())
  return app
}

async function call (app: FastifyInstance, query: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<{ status: number, body: Record<string, unknown>, headers: Record<string, unknown> }> {
  const { statusCode, headers: sent, body } = await app.inject({ url: '/call', query, headers })
  const json = JSON.parse(body) as Record<string, unknown>
  return { status: json['code'] === 'PORTCULLIS_RATE_LIMITED' ? 429 : statusCode, body: json, headers: sent }
}

async function allowedOf (count: number, app: FastifyInstance, query: Record<string, string> = {}): Promise<number> {
  const answers = await Promise.all(Array.from({ length: count }, () => call(app, query)))
  return answers.filter(({ status }) => status === 200).length
}

t.test('the call after the last allowed one is refused, and says what to do', async (t) => {
  const clock = { now: start }
  const app = await gateway(t, { specs: [{ calls: 3, name: '3 per hour by user, tool' }], clock })
  t.same((await call(app)).body, { limit: 3, remaining: 2, resetSeconds: 3600 })
  clock.now += 48 * 60_000
  t.same((await call(app)).body, { limit: 3, remaining: 1, resetSeconds: 720 })
  t.same((await call(app)).body, { limit: 3, remaining: 0, resetSeconds: 720 })
  const refused = await call(app)
  t.same(refused.body, {
    code: 'PORTCULLIS_RATE_LIMITED',
    message: 'Limit of 3 calls per hour for files/read is used up. Try again in 12 minutes (at 13:00:00Z).',
    rule: 'limit 3 per hour by user, tool',
    limit: 3,
    window: '1h',
    windowMs: hour,
    remaining: 0,
    retryAfterMs: 720_000,
    resetAt: '2026-11-23T13:00:00.000Z',
  })
  t.match(refused.headers, { 'retry-after': '720', 'ratelimit-limit': '3', 'ratelimit-remaining': '0', 'ratelimit-reset': '720' })
})

t.test('a window ends when it is over, not before, and the next one begins with the next call', async (t) => {
  const clock = { now: start }
  const app = await gateway(t, { specs: [{ calls: 1 }], clock })
  t.equal((await call(app)).status, 200)
  clock.now = start + hour - 1
  t.equal((await call(app)).status, 429)
  clock.now = start + hour
  t.equal((await call(app)).status, 200)
  clock.now = start + 2 * hour - 1
  t.equal((await call(app)).status, 429)
})

t.test('it is the user who is counted: other tokens, sessions and addresses change nothing', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 2 }] })
  t.equal((await call(app, {}, { authorization: 'Bearer one', 'mcp-session-id': '1' })).status, 200)
  t.equal((await call(app, { address: '10.9.9.9' }, { authorization: 'Bearer two' })).status, 200)
  t.equal((await call(app, {}, { authorization: 'Bearer three', 'x-forwarded-for': '1.2.3.4', 'mcp-session-id': '2' })).status, 429)
  t.equal((await call(app, { user: 'bob' })).status, 200)
  t.equal((await call(app, { target: 'files/write' })).status, 200)
  t.equal((await call(app, { target: 'other/read' })).status, 200, 'a tool of the same name elsewhere')
  t.equal((await call(app, { kind: 'prompt' })).status, 200, 'a prompt of the same name')
})

t.test('of 100 calls at once exactly as many are allowed as the limit says', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 37 }] })
  t.equal(await allowedOf(100, app), 37)
})

t.test('names that cannot be called share one counter', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 2 }] })
  t.equal(await allowedOf(2, app, { target: '?/?' }), 2)
  t.match((await call(app, { target: '?/?' })).body, { message: /for names that cannot be called is used up/ })
})

t.test('a limit counts by what it says', async (t) => {
  const cases: [by: LimitSpec['by'], same: Record<string, string>, other: Record<string, string>][] = [
    [['user'], { target: 'memory/x', address: '1.1.1.1', roles: 'x' }, { user: 'bob' }],
    [['upstream'], { user: 'bob', target: 'files/write' }, { target: 'memory/read' }],
    [['tool'], { user: 'bob' }, { target: 'files/write' }],
    [['role'], { user: 'bob', roles: 'user' }, { roles: 'user,admin' }],
    [['address'], { user: 'bob' }, { address: '10.0.0.2' }],
    [['user', 'upstream'], { target: 'files/write' }, { target: 'memory/read' }],
  ]
  for (const [by, same, other] of cases) {
    const app = await gateway(t, { specs: [{ calls: 1, by }] })
    t.equal((await call(app)).status, 200)
    t.equal((await call(app, same)).status, 429, `${by.join()}: counted together`)
    t.equal((await call(app, other)).status, 200, `${by.join()}: counted apart`)
  }
})

t.test('an IPv6 network counts as one address', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 1, by: ['address'] }] })
  t.equal((await call(app, { address: '2001:db8:1:2::1' })).status, 200)
  t.equal((await call(app, { address: '2001:db8:1:2:ffff::9' })).status, 429)
  t.equal((await call(app, { address: '2001:db8:1:3::1' })).status, 200)
})

t.test('roles count in any order', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 1, by: ['role'] }] })
  t.equal((await call(app, { roles: 'a,b' })).status, 200)
  t.equal((await call(app, { roles: 'b,a' })).status, 429)
})

t.test('resources of one upstream are counted together', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 1 }] })
  t.equal((await call(app, { kind: 'resource', target: 'files/a' })).status, 200)
  t.match((await call(app, { kind: 'resource', target: 'files/b' })).body, { message: /for resources of files is used up/ })
})

t.test('a limit with a pattern leaves other tools alone', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 1, tool: 'github/create_*', by: ['user'] }] })
  t.same((await call(app, { target: 'files/read' })).body, { unlimited: true })
  t.equal((await call(app, { target: 'github/create_issue' })).status, 200)
  t.match((await call(app, { target: 'github/create_pull' })).body, { code: 'PORTCULLIS_RATE_LIMITED', message: /Limit of 1 call per hour for github\/create_\* is used up/ })
  t.same((await call(app, { kind: 'prompt', target: 'github/create_issue' })).body, { unlimited: true })
})

t.test('all limits that apply are counted, the first that is used up refuses, the tightest is told', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 10, by: ['user'], name: 'wide' }, { calls: 2, per: 60_000, name: 'narrow' }] })
  t.same((await call(app)).body, { limit: 2, remaining: 1, resetSeconds: 60 })
  t.equal((await call(app)).status, 200)
  for (let n = 3; n <= 10; n++) t.match((await call(app)).body, { rule: 'limit narrow' })
  t.match((await call(app)).body, { rule: 'limit wide' }, 'refused calls were counted, too')
})

t.test('waiting times are told in words that fit', async (t) => {
  const cases: [per: number, text: string][] = [
    [1000, 'Limit of 1 call per second for a/b is used up. Try again in 1 second (at 12:00:01Z).'],
    [60_000, 'per minute for a/b is used up. Try again in 1 minute (at 12:01:00Z).'],
    [900_000, 'per 15 minutes for a/b is used up. Try again in 15 minutes (at 12:15:00Z).'],
    [90_000, 'per 90 seconds for a/b is used up. Try again in 90 seconds (at 12:01:30Z).'],
    [86_400_000, 'per day for a/b is used up. Try again in 1 day (at 2026-11-24T12:00:00Z).'],
    [7 * 86_400_000, 'per 7 days for a/b is used up. Try again in 7 days (at 2026-11-30T12:00:00Z).'],
  ]
  for (const [per, text] of cases) {
    const app = await gateway(t, { specs: [{ calls: 1, per }] })
    await call(app, { target: 'a/b' })
    t.match((await call(app, { target: 'a/b' })).body['message'], text)
  }
})

t.test('without limits nothing is counted', async (t) => {
  const app = await gateway(t, { specs: [] })
  t.same((await call(app)).body, { unlimited: true })
})

t.test('a restart counts what was counted before it', async (t) => {
  const clock = { now: start }
  const specs: Spec[] = [{ calls: 5 }, { calls: 8, by: ['user'], per: 4 * hour }]
  const log: CountedCall[] = []
  const before = await gateway(t, { specs, clock })
  const after = async () => {
    const app = await gateway(t, { specs, clock })
    await app.limits.restore((ms: number) => log.filter(({ ts }) => ts >= clock.now - ms))
    return app
  }
  const target = ['files/read', 'files/write', 'memory/read']
  for (let n = 0; n < 60; n++) {
    const query = { user: n % 3 === 0 ? 'bob' : 'alice', target: target[n % 2] ?? '' }
    const [upstream = '', tool = ''] = query.target.split('/')
    const restarted = await after()
    log.push({ ts: clock.now, principal: query.user, upstream, tool })
    t.same((await call(restarted, query)).body, (await call(before, query)).body, `call ${n}`)
    clock.now += (n * 7919) % 23 * 60_000
  }
})

t.test('a restart counts an address as the network that it was counted as before', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 1, by: ['address'] }] })
  const counted = { ts: start - 1000, principal: 'alice', upstream: 'files', tool: 'read' }
  await app.limits.restore(() => [{ ...counted, address: '2001:db8:1:2::1' }, { ...counted, address: '::ffff:10.0.0.9' }])
  t.equal((await call(app, { address: '2001:db8:1:2::1' })).status, 429)
  t.equal((await call(app, { address: '10.0.0.9' })).status, 429)
  t.equal((await call(app, { address: '2001:db8:1:3::1' })).status, 200)
})

t.test('restoring asks far enough back to know where a window began', async (t) => {
  const clock = { now: start }
  const app = await gateway(t, { specs: [{ calls: 2 }, { calls: 100, per: 24 * hour }], clock })
  let asked = 0
  await app.limits.restore((ms: number) => { asked = ms; return [] })
  t.equal(asked, 72 * hour)
  // A call every 40 minutes since yesterday: the last one fell into the window of the one before it, which is over.
  const calls = Array.from({ length: 30 }, (_, n) => ({ ts: start - (30 - n) * 40 * 60_000, principal: 'alice', upstream: 'files', tool: 'read' }))
  t.equal(await app.limits.restore(async () => calls), 30)
  t.same((await call(app)).body, { limit: 2, remaining: 1, resetSeconds: 3600 })
})

t.test('what the log cannot tell is not counted, what it can is', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 1, by: ['address'] }, { calls: 2, by: ['user'] }, { calls: 1, by: ['role'], tool: 'x/*' }] })
  await app.limits.restore(async function * () {
    yield { ts: start - 1000, principal: 'alice', upstream: 'files', tool: 'read' }
    yield { ts: start + 5000, principal: 'alice', upstream: '?', tool: '?', address: '10.0.0.7' }
  })
  t.match((await call(app, { address: '10.0.0.1' })).body['rule'], /by user on/)
  t.match((await call(app, { user: 'bob', address: '10.0.0.7' })).body['rule'], /by address on/)
})

t.test('when there is no room for another counter, new callers are refused and known ones are not', async (t) => {
  const clock = { now: start }
  const app = await gateway(t, { specs: [{ calls: 5 }], maxWindows: 3, clock })
  for (const user of ['a', 'b', 'c']) t.equal((await call(app, { user })).status, 200)
  const refused = await call(app, { user: 'd' })
  t.equal(refused.status, 503)
  t.match(refused.body, { code: 'PORTCULLIS_OVERLOADED', message: /too many callers/ })
  t.equal((await call(app, { user: 'a' })).status, 200)
  clock.now += hour
  t.equal((await call(app, { user: 'd' })).status, 200, 'ended windows make room')
})

t.test('ended windows are forgotten, live ones never', async (t) => {
  const windows = new Windows(10_000)
  for (let n = 0; n < 5000; n++) windows.hit(`old ${n}`, hour, start + n)
  windows.hit('live', hour, start + hour / 2)
  for (let n = 0; n < 5000; n++) windows.hit(`new ${n}`, hour, start + hour + 5000 + n)
  t.ok(windows.size <= 5002, `${windows.size} windows are left`)
  t.equal(windows.hit('live', hour, start + hour + 20_000)?.count, 2)
})

t.test('a window that is over counts for nothing, however many others are', async (t) => {
  const windows = new Windows(10)
  for (const key of ['a', 'b', 'c', 'd', 'e']) windows.hit(key, hour, start)
  t.equal(windows.peek('e', hour, start + hour - 1)?.count, 1)
  t.equal(windows.peek('e', hour, start + hour), undefined)
  t.same(windows.hit('e', hour, start + hour), { start: start + hour, count: 1 })
})

t.test('a clock that is set back does not lock anybody out for longer than a window', async (t) => {
  const windows = new Windows(10)
  windows.hit('a', hour, start)
  t.equal(windows.hit('a', hour, start - 10 * hour)?.count, 2)
  t.equal(windows.hit('a', hour, start - 9 * hour)?.count, 1)
})

t.test('routes may have a limit of their own, counted in the same store', async (t) => {
  const clock = { now: start }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(limits, { config: { limits: [], redisUrl: undefined }, now: () => clock.now })
  app.get('/login', { config: { rateLimit: { max: 2, timeWindow: 60_000 } } }, async () => 'ok')
  app.get('/other', async () => 'ok')
  const statuses = async (url: string) => (await Promise.all([1, 2, 3].map(() => app.inject({ url })))).map(({ statusCode }) => statusCode)
  t.same(await statuses('/login'), [200, 200, 429])
  t.same(await statuses('/other'), [200, 200, 200])
  clock.now += 60_000
  t.equal((await app.inject({ url: '/login' })).statusCode, 200)
})

t.test('a Redis that cannot be reached refuses calls instead of letting them pass', async (t) => {
  const app = await gateway(t, { specs: [{ calls: 5 }], redisUrl: 'redis://127.0.0.1:1' })
  const refused = await call(app)
  t.equal(refused.status, 503)
  t.match(refused.body, { code: 'PORTCULLIS_OVERLOADED', message: /cannot count calls/ })
  t.equal(await app.limits.restore(() => { throw new Error('not to be asked') }), 0)
})

const redisUrl = process.env['TEST_REDIS_URL']
t.test('replicas count together in Redis', { skip: redisUrl === undefined && 'TEST_REDIS_URL is not set' }, async (t) => {
  const options = { specs: [{ calls: 37, per: 60_000, name: `${process.pid} ${Date.now()}` }], redisUrl: redisUrl ?? '' }
  const [one, two] = [await gateway(t, options), await gateway(t, options)]
  const allowed = await Promise.all([allowedOf(50, one), allowedOf(50, two)])
  t.equal(allowed[0] + allowed[1], 37)
  const refused = await call(one)
  t.match(refused.body, { code: 'PORTCULLIS_RATE_LIMITED', limit: 37, windowMs: 60_000 })
  t.equal((await call(two, { user: 'bob' })).status, 200)
})
