import { Writable } from 'node:stream'

import fastify from 'fastify'
import pg from 'pg'
import t from 'tap'

import { Refusal } from '../src/errors.ts'
import { createLogger } from '../src/log.ts'
import type { Log } from '../src/log.ts'

const CANARY = 'k4n4ry-Secret.Value'
const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLWJ5dGVz'

t.test('members with telling names are blanked at any depth, in any spelling, in lists and in children', async t => {
  const { log, lines } = capture()
  log.info({ password: CANARY, user: 'alice' }, 'a')
  log.info({ request: { headers: { authorization: CANARY } } }, 'b')
  log.info({ deep: { deeper: { deepest: { 'Set-Cookie': CANARY, access_token: CANARY, refreshToken: CANARY, 'X-API-Key': CANARY } } } }, 'c')
  log.info({ list: [{ client_secret: CANARY }, { ok: 1 }] }, 'd')
  log.child({ token: CANARY, upstream: 'files' }).info('e')
  log.info({ config: { databaseUrl: `postgres://u:${CANARY}@h/d` }, env: { A: CANARY } }, 'f')
  t.notMatch(lines.join(''), CANARY)
  t.match(JSON.parse(lines[0] ?? ''), { level: 'info', user: 'alice', password: '[redacted]', msg: 'a' })
  t.match(JSON.parse(lines[3] ?? ''), { list: [{}, { ok: 1 }] })
  t.match(JSON.parse(lines[4] ?? ''), { upstream: 'files', msg: 'e' })
})

t.test('what was logged is not changed by logging it', async t => {
  const { log } = capture()
  const headers = { authorization: CANARY }
  log.info({ nested: { headers } }, 'a')
  t.strictSame(headers, { authorization: CANARY })
})

t.test('text that looks like a credential is blanked in the finished line', async t => {
  const { log, lines } = capture()
  log.info(`sent Bearer ${CANARY}`)
  log.info({ note: `got ${JWT}` }, 'token')
  log.warn({ err: new Error(`cannot reach postgres://portcullis:${CANARY}@db:5432/x`) }, 'failed')
  log.info({ note: `https://${CANARY}@example.com/repo` }, 'clone')
  log.info(`created portcullis_pat_${'a'.repeat(43)}_b4c5d6`)
  t.notMatch(lines.join(''), CANARY)
  t.notMatch(lines.join(''), JWT)
  t.notMatch(lines.join(''), 'aaaa')
  t.equal(JSON.parse(lines[2] ?? '').err.message, 'cannot reach postgres://[redacted]@db:5432/x')
  t.notMatch(lines.join(''), /"level":"[^"]*redacted/)
})

t.test('an error is its type, message, code, stack and causes, and nothing a library has hung on it', async t => {
  const { log, lines } = capture()
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' })
  const err = Object.assign(new Refusal('PORTCULLIS_INTERNAL', { cause }), { request: { body: CANARY }, input: CANARY })
  log.error({ err }, 'failed')
  t.notMatch(lines[0], CANARY)
  const line = JSON.parse(lines[0] ?? '')
  t.match(line.err, { type: 'Refusal', code: 'PORTCULLIS_INTERNAL', cause: { code: 'ECONNREFUSED', syscall: 'connect' } })
  t.match(line.err.stack, 'log.test.ts')
})

t.test('an error with the real connection string of a real driver does not show the password', async t => {
  const { log, lines } = capture()
  const client = new pg.Client({ connectionString: `postgres://alice:${CANARY}@127.0.0.1:1/none` })
  await client.connect().catch((err: unknown) => log.error({ err, client: { connectionParameters: { password: CANARY } } }, 'no database'))
  t.equal(lines.length, 1)
  t.notMatch(lines[0], CANARY)
  t.match(lines[0], 'ECONNREFUSED')
})

t.test('the failures behind one error are told, too', async t => {
  const { log, lines } = capture()
  log.error({ err: new AggregateError([new Error('first'), new Error('second')], '') }, 'failed')
  t.match(JSON.parse(lines[0] ?? '').err.errors, [{ message: 'first' }, { message: 'second' }])
})

t.test('a cause that leads back to its error ends', async t => {
  const { log, lines } = capture()
  const err = new Error('round')
  err.cause = err
  log.error({ err }, 'failed')
  t.equal(lines.length, 1)
  const loop: Record<string, unknown> = {}
  loop['self'] = loop
  log.info({ loop }, 'around')
  t.equal(lines.length, 2)
})

t.test('Fastify logs a request without its headers and query', async t => {
  const { log, lines } = capture()
  const app = fastify({ loggerInstance: log })
  t.teardown(() => app.close())
  app.get('/callback', async () => 'ok')
  await app.inject({ url: `/callback?code=${CANARY}`, headers: { authorization: `Bearer ${CANARY}`, cookie: CANARY } })
  t.equal(lines.length, 2)
  t.notMatch(lines.join(''), CANARY)
  t.match(JSON.parse(lines[0] ?? '').req, { method: 'GET', path: '/callback', remoteAddress: '127.0.0.1' })
  t.strictSame(JSON.parse(lines[1] ?? '').res, { statusCode: 200 })
})

t.test('the level decides, and the time is readable', async t => {
  const { log, lines } = capture('warn')
  log.info('quiet')
  log.warn('loud')
  t.equal(lines.length, 1)
  t.match(JSON.parse(lines[0] ?? '').time, /^\d{4}-\d\d-\d\dT/)
})

function capture (level = 'info'): { log: Log, lines: string[] } {
  const lines: string[] = []
  const stream = new Writable({
    write (chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString())
      done()
    },
  })
  return { log: createLogger({ level, stream }), lines }
}
