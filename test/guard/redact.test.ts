import { createHash } from 'node:crypto'

import t from 'tap'

import { recordArguments } from '../../src/guard/record.ts'
import { digest, redact } from '../../src/guard/redact.ts'

const none: string[] = []

t.test('values of sensitive names are hidden, whatever their spelling and type', async (t) => {
  for (const name of ['password', 'Password', 'db_password', 'PASSWD', 'api_key', 'apiKey', 'x-api-key', 'APIKEY', 'accessToken', 'refresh_token', 'client_secret', 'Authorization', 'Set-Cookie', 'private_key', 'credentials', 'aws_access_key']) {
    t.same(redact({ [name]: 'value-1', keep: 'x' }, none), { [name]: '[redacted]', keep: 'x' }, name)
    t.same(redact({ a: [{ [name]: { deep: 'value-1' } }] }, none), { a: [{ [name]: '[redacted]' }] }, name)
  }
  t.same(redact({ token: 123456, max_tokens: 100, password: null, secret: false }, none), { token: '[redacted]', max_tokens: 100, password: null, secret: false })
})

t.test('names from the configuration are hidden too', async (t) => {
  t.same(redact({ session_id: 'a', SessionID: 'b', pin: 'c', other: 'd' }, ['sessionId', 'pin']), { session_id: '[redacted]', SessionID: '[redacted]', pin: '[redacted]', other: 'd' })
  t.equal(recordArguments({ iban: 'DE00' }, 'redacted', ['iban']).text, '{"iban":"[redacted]"}')
})

t.test('credentials are hidden wherever they stand in a text', async (t) => {
  const cases: [text: string, shown: string][] = [
    ['curl -H "Authorization: Bearer abcdefgh12345678"', 'curl -H "Authorization: Bearer [redacted]"'],
    ['use ghp_abcdefghijklmnopqrstuvwxyz0123456789 now', 'use [redacted] now'],
    ['xoxb-123456789012-abcdefgh', '[redacted]'],
    ['AKIAIOSFODNN7EXAMPLE', '[redacted]'],
    ['sk-proj-abcdefghijklmnopqrst', '[redacted]'],
    ['portcullis_pat_abc123', '[redacted]'],
    ['eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl', '[redacted]'],
    ['-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----', '[redacted]'],
    ['postgres://app:hunter2@db/main', 'postgres://[redacted]@db/main'],
    ['https://x/?token=abcdef&a=1', 'https://x/?token=[redacted]&a=1'],
    ['PASSWORD="hunter2"', 'PASSWORD="[redacted]"'],
  ]
  for (const [text, shown] of cases) {
    t.same(redact({ a: [text] }, none), { a: [shown] }, text)
    t.same(JSON.parse(recordArguments({ a: [text] }, 'redacted', none).text ?? ''), { a: [shown] }, `${text}, in a record`)
    t.same(Object.keys(redact({ [text]: 1 }, none) as object), [shown], `${text}, as a name`)
  }
})

t.test('ordinary arguments are recorded as they are', async (t) => {
  const args = { path: '/data/a.txt', edits: [{ old: 'a', new: 'é\n"' }], task: 'risk-free', mail: 'a@example.com', url: 'https://example.com/@user', n: 1.5, none: null, ok: true }
  t.equal(recordArguments(args, 'redacted', none).text, JSON.stringify(args))
  t.same(redact(args, none), args)
})

t.test('long texts are cut, and say how long they were', async (t) => {
  const text = (redact({ a: 'x'.repeat(100_000) }, none) as { a: string }).a
  t.ok(text.length < 2100)
  t.match(text, /x\[… 100000 characters\]$/)
  const emoji = (redact({ a: 'y' + '😀'.repeat(5000) }, none) as { a: string }).a
  t.notMatch(JSON.stringify(emoji), '\\ud83d')
})

t.test('a secret on the cut does not show its beginning', async (t) => {
  const record = JSON.stringify(redact({ a: 'x'.repeat(2030) + ' ghp_' + 'S'.repeat(36) }, none))
  t.notMatch(record, 'S')
})

t.test('the record of large arguments stays small and is JSON', async (t) => {
  const many = Array.from({ length: 50_000 }, (_, n) => ({ [`key${n}`]: `value ${n}`.repeat(20) }))
  const wide = Object.fromEntries(Array.from({ length: 50_000 }, (_, n) => [`key${n}`, 'x']))
  const control = Array.from({ length: 100 }, () => '\u0001'.repeat(2000))
  let deep: unknown = 'x'
  for (let level = 0; level < 500; level++) deep = { deep }
  for (const args of [many, wide, { control }, { deep }, { a: Array.from({ length: 100_000 }, () => 0) }]) {
    const { text = '' } = recordArguments(args, 'redacted', none)
    t.ok(text.length > 2 && text.length <= 33_000, `${text.length} characters`)
    t.doesNotThrow(() => { JSON.parse(text) })
  }
})

t.test('each mode keeps what it says', async (t) => {
  const args = { password: 'hunter2' }
  const sha = `sha256:${createHash('sha256').update('{"password":"hunter2"}').digest('hex')}`
  const kept = (mode: Parameters<typeof recordArguments>[1]): unknown => {
    const { text, digest } = recordArguments(args, mode, none)
    return { text, digest: digest?.() }
  }
  t.same(kept('none'), { text: undefined, digest: undefined })
  t.same(kept('digest'), { text: undefined, digest: sha })
  t.same(kept('redacted'), { text: '{"password":"[redacted]"}', digest: sha })
  t.same(kept('full'), { text: '{"password":"hunter2"}', digest: sha })
  t.same(recordArguments(undefined, 'full', none), { text: undefined, digest: undefined })
  t.equal(digest('{}'), 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a')
})

t.test('the arguments themselves are left alone', async (t) => {
  const args = { password: 'hunter2', list: ['Bearer abcdefghijkl'] }
  const before = structuredClone(args)
  redact(args, none)
  t.same(args, before)
  const polluted = redact(JSON.parse('{"__proto__":{"polluted":1}}'), none)
  t.equal((polluted as { polluted?: number }).polluted, undefined)
})

t.test('no text makes the shapes slow', async (t) => {
  for (const piece of ['eyJ-', 'bearer ', 'a://', 'token=', 'sk-', '-----BEGIN ', 'xoxb-', 'password: ']) {
    t.type(redact({ a: piece.repeat(20_000), b: { c: Array.from({ length: 100 }, () => piece.repeat(1000)) } }, none), 'object')
  }
})
