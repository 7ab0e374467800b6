import { Writable } from 'node:stream'

import fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'

import { health } from '../../plugins/health.ts'
import type { Health, HealthOptions } from '../../plugins/health.ts'
import { createLogger } from '../../src/log.ts'

t.test('a gateway whose parts are well is live and ready', async t => {
  const { app } = await build(t, { checks: { database: well, ledger: well } })
  const live = await app.inject('/livez')
  t.equal(live.statusCode, 200)
  t.equal(live.headers['cache-control'], 'no-store')
  const ready = await app.inject('/readyz')
  t.equal(ready.statusCode, 200)
  t.strictSame(ready.json(), { status: 'ok', checks: { database: { ok: true }, ledger: { ok: true } } })
})

t.test('one part that is not well makes it unready, names the part and the reason, and leaves it live', async t => {
  const { app } = await build(t, { checks: { database: () => ({ ok: false, reason: 'The database does not answer.' }), ledger: well } })
  const ready = await app.inject('/readyz')
  t.equal(ready.statusCode, 503)
  t.strictSame(ready.json(), {
    status: 'unavailable',
    checks: { database: { ok: false, reason: 'The database does not answer.' }, ledger: { ok: true } },
  })
  t.equal((await app.inject('/livez')).statusCode, 200)
})

t.test('a check that throws is a failed one, and what it threw is in the log and not in the answer', async t => {
  const { app, lines } = await build(t, { checks: { database: () => { throw new Error('connect db.internal.example') } } })
  const ready = await app.inject('/readyz')
  t.equal(ready.statusCode, 503)
  t.notMatch(ready.body, 'db.internal.example')
  t.equal(ready.json().checks.database.ok, false)
  t.ok(lines.some(line => line.check === 'database' && line.err.message === 'connect db.internal.example'))
})

t.test('a check that never answers is a failed one', async t => {
  const { app } = await build(t, { checks: { database: () => new Promise<Health>(() => {}) }, timeout: 20 })
  const ready = await app.inject('/readyz')
  t.equal(ready.statusCode, 503)
  t.match(ready.json().checks.database.reason, /within 20 ms/)
})

t.test('many probes at once cost one look, and a later one looks again', async t => {
  let looks = 0
  const { app } = await build(t, { checks: { database: () => { looks++; return { ok: true } } }, reuse: 0 })
  await Promise.all(Array.from({ length: 50 }, () => app.inject('/readyz')))
  t.equal(looks, 1)
  await new Promise(resolve => setTimeout(resolve, 20))
  await app.inject('/readyz')
  t.equal(looks, 2)
})

t.test('becoming unready and ready again is logged once each', async t => {
  let current: Health = { ok: true }
  const { app, lines } = await build(t, { checks: { ledger: () => current }, reuse: 0 })
  const probe = async (): Promise<void> => {
    await app.inject('/readyz')
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  await probe()
  current = { ok: false, reason: 'The disk is full.' }
  await probe()
  await probe()
  current = { ok: true }
  await probe()
  t.strictSame(lines.map(({ msg }) => msg), ['not ready', 'ready again'])
})

function well (): Health {
  return { ok: true }
}

interface Line { msg: string, check?: string, err: { message: string } }

async function build (t: Test, options: HealthOptions): Promise<{ app: Pick<FastifyInstance, 'inject'>, lines: Line[] }> {
  const lines: Line[] = []
  const stream = new Writable({
    write (chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()))
      done()
    },
  })
  const app = fastify({ loggerInstance: createLogger({ level: 'info', stream }) })
  await app.register(health, options)
  t.teardown(() => app.close())
  return { app, lines }
}
