import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { Refusal } from '../../src/errors.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import { readIncoming } from '../../src/upstreams/answer.ts'
import { Channel } from '../../src/upstreams/channel.ts'
import { Spliced } from '../../src/protocol/spliced.ts'
import { LineReader } from '../../src/upstreams/frames.ts'
import { Slots } from '../../src/upstreams/slots.ts'

const fixture = fileURLToPath(new URL('../fixtures/upstream.mjs', import.meta.url))

interface Heard { readonly notifications: string[], readonly noise: string[], readonly dropped: string[] }

function open (t: Test, maxLine = 1024 * 1024): { channel: Channel, heard: Heard, child: ChildProcessWithoutNullStreams } {
  const child = spawn(process.execPath, [fixture], { env: {} })
  const heard: Heard = { notifications: [], noise: [], dropped: [] }
  const channel = new Channel(child, maxLine, {
    notification: (method) => heard.notifications.push(method),
    noise: (line) => heard.noise.push(line.toString()),
    dropped: (reason) => heard.dropped.push(reason),
  })
  t.teardown(() => child.kill('SIGKILL'))
  return { channel, heard, child }
}

function call (channel: Channel, name: string, args: object = {}, timeoutMs = 10_000): Promise<Answer> {
  return new Promise((resolve, reject) => {
    channel.request('tools/call', () => JSON.stringify({ name, arguments: args }), { answer: resolve, fail: reject }, timeoutMs)
  })
}

const textOf = (answer: Answer): string => answer.kind === 'result' ? (JSON.parse(String(answer.text)) as { content: [{ text: string }] }).content[0].text : `error ${answer.code}`

t.test('two hundred calls at once each get their own answer', async (t) => {
  const { channel } = open(t)
  const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => call(channel, 'echo', { text: `number ${i}` })))
  t.same(answers.map(textOf), Array.from({ length: 200 }, (_, i) => `number ${i}`))
  t.equal(channel.inFlight, 0)
})

t.test('38, 45, 47: what a hostile child forges, repeats or babbles reaches nobody', async (t) => {
  const { channel, heard } = open(t)
  const waiting = call(channel, 'hang')
  waiting.catch(() => {})
  t.equal(textOf(await call(channel, 'hostile')), 'mine')
  t.equal(textOf(await call(channel, 'echo', { text: 'still here' })), 'still here')
  t.match(heard.noise, ['Welcome to the hostile server!', '{"not":"rpc"}'])
  t.same(heard.dropped.sort(), ['request', 'unmatched', 'unmatched', 'unmatched'])
  t.same(heard.notifications, ['notifications/message'])
  t.equal(channel.inFlight, 1, 'the hanging call was not answered by the forgeries')
})

t.test('46: an answer beyond the line cap fails its own call only', async (t) => {
  const { channel, heard } = open(t, 10_000)
  const small = call(channel, 'sleep', { ms: 50 })
  await t.rejects(call(channel, 'big', { bytes: 300_000 }), { code: 'PORTCULLIS_RESULT_TOO_LARGE' })
  t.equal(textOf(await small), 'slept 50')
  t.same(heard.dropped, ['oversize'])
})

t.test('40: an overdue call is cancelled at the child and fails with a sentence', async (t) => {
  const { channel } = open(t)
  const overdue = call(channel, 'hang', {}, 10)
  setTimeout(() => channel.sweep(Date.now()), 50)
  await t.rejects(overdue, { code: 'PORTCULLIS_TIMEOUT', message: /did not answer tools\/call in time/ })
})

t.test('closing fails what is in flight and everything later', async (t) => {
  const { channel } = open(t)
  const waiting = call(channel, 'hang')
  const gone = { code: 'PORTCULLIS_UPSTREAM_FAILED', message: 'gone' } as Refusal
  channel.close(gone)
  await t.rejects(waiting, gone)
  await t.rejects(call(channel, 'echo', { text: 'x' }), gone)
})

t.test('45, 46: lines survive any chunking, carriage returns and multi-byte characters', async (t) => {
  const lines: string[] = []
  const oversize: string[] = []
  const reader = new LineReader(16, (line) => lines.push(line.toString()), (head, tail) => oversize.push(`${head}…${tail}`))
  for (const byte of Buffer.from('{"a":"é"}\r\n\n{"b":1}\n')) reader.push(Buffer.from([byte]))
  reader.push(Buffer.from(`${'x'.repeat(10)}`))
  reader.push(Buffer.from(`${'y'.repeat(10)}`))
  reader.push(Buffer.from('zz\nnext\n'))
  reader.push(Buffer.from(`${'w'.repeat(17)}\n`))
  t.same(lines, ['{"a":"é"}', '{"b":1}', 'next'])
  t.same(oversize, ['xxxxxxxxxx…zz', `${'w'.repeat(17)}…${'w'.repeat(17)}`])
})

t.test('46: a line of 20 MiB is dropped whole, and the next one is read', async (t) => {
  const lines: number[] = []
  const dropped: string[] = []
  const reader = new LineReader(16 * 1024 * 1024, (line) => lines.push(line.length), (head) => dropped.push(head.toString()))
  const chunk = Buffer.alloc(64 * 1024, 'x')
  for (let bytes = 0; bytes < 20 * 1024 * 1024; bytes += chunk.length) reader.push(chunk)
  reader.push(Buffer.from('\nnext\n'))
  for (let bytes = 0; bytes < 10 * 1024 * 1024; bytes += chunk.length) reader.push(chunk)
  reader.push(Buffer.from('end\r\n'))
  t.same(lines, [4, 10 * 1024 * 1024 + 3])
  t.same(dropped, ['x'.repeat(64)])
})

t.test('an id is good once', async (t) => {
  const slots = new Slots<string>()
  const first = slots.add('a') ?? 0
  t.equal(slots.take(first), 'a')
  t.equal(slots.take(first), undefined)
  const second = slots.add('b') ?? 0
  t.not(second, first)
  t.equal(slots.get(first), undefined, 'a late answer finds nothing')
  t.equal(slots.get(second), 'b')
  t.equal(slots.get(-1), undefined)
})

t.test('47: an answer cannot smuggle members past its result', async (t) => {
  const read = (line: string): unknown => readIncoming(Buffer.from(line))
  t.match(read('{"jsonrpc":"2.0","id":7,"result":{"a":1}}'), { kind: 'answer', id: 7, answer: { text: '{"a":1}' } })
  t.match(read('{"result":{"a":"}"},"jsonrpc":"2.0","id":7}'), { kind: 'answer', id: 7, answer: { text: '{"a":"}"}' } })
  t.match(read('{"jsonrpc":"2.0","id":7,"result":{},"result":{"b":1}}'), { answer: { text: '{"b":1}' } })
  t.match(read('{"jsonrpc":"2.0","id":7,"result":{"x":1},"\\u0069d":7}'), { answer: { text: '{"x":1}' } })
  t.match(read('{"jsonrpc":"2.0","id":"7","result":{"a":1}}'), { kind: 'answer', id: 7, answer: { text: '{"a":1}' } }, 'an id that became a text is ours all the same')
  for (const id of ['""', '"07"', '"7.0"', '"-7"', '"7 "', '"99999999999999999"', '7.5', 'null', 'true', '[7]']) t.match(read(`{"jsonrpc":"2.0","id":${id},"result":{}}`), { kind: 'unmatched' }, id)
  t.match(read('\uFEFF{"jsonrpc":"2.0","id":7,"result":{}}'), { kind: 'answer', id: 7 }, '45: a byte order mark is no part of it')
  t.match(read('{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"},"result":null}'), { answer: { kind: 'error', code: -1 } })
  t.match(read('{"jsonrpc":"2.0","id":7,"result":5}'), { kind: 'noise' })
  t.match(read('{"jsonrpc":"2.0","id":7,"result":{}}{"jsonrpc":"2.0","id":8,"result":{}}'), { kind: 'noise' }, 'two messages on one line')
})

t.test('46, 47: a large answer is passed on as bytes only when it is one answer, whole and valid', async (t) => {
  const large = `{"isError":true,"text":"${'x'.repeat(1024 * 1024)}"}`
  const read = (line: string | Buffer): { kind: string, answer?: { text: unknown, isError: unknown, hasMeta: unknown } } => readIncoming(Buffer.from(line as string)) as never
  for (const line of [`{"jsonrpc":"2.0","id":7,"result":${large}}`, `{"result":${large},"jsonrpc":"2.0","id":7}`]) {
    const { answer } = read(line)
    t.ok(answer?.text instanceof Spliced && String(answer.text) === large)
    t.match(answer, { isError: true, hasMeta: false })
    t.equal(read(line + line).kind, 'noise', 'two messages on one line')
    t.equal(read(line.slice(0, -2)).kind, 'noise', 'cut off')
    t.equal(read(line.replace('true', 'tru')).kind, 'noise', 'not JSON')
    const broken = Buffer.from(line)
    broken[1000] = 0xff
    t.equal(typeof read(broken).answer?.text, 'string', 'what is not UTF-8 is decoded, and mended by that')
  }
  t.match(read(`{"jsonrpc":"2.0","id":7,"result":${large},"id":8}`), { kind: 'answer', id: 8 }, 'a second id is read as JSON.parse reads it')
  t.match(read(`{"jsonrpc":"2.0","id":7,"result":${large.replace('"text"', '"_meta":{},"text"')}}`), { answer: { hasMeta: true } })
})

t.test('49: a child that does not read is given up on before it fills the memory, and its death fails what waits', async (t) => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { env: {} })
  t.teardown(() => child.kill('SIGKILL'))
  const channel = new Channel(child, 1024, { notification: () => {}, noise: () => {}, dropped: () => {} })
  const failed: unknown[] = []
  const sink = { answer: () => {}, fail: (refusal: Refusal) => { failed.push(refusal.code) } }
  let accepted = 0
  t.throws(() => {
    for (; accepted < 1_000; accepted++) channel.request('tools/call', () => JSON.stringify('x'.repeat(100_000)), sink, 60_000)
  }, { code: 'PORTCULLIS_UPSTREAM_UNAVAILABLE' })
  t.ok(accepted < 200, `${accepted} calls of 100 kB`)
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('close', resolve))
  channel.close(new Refusal('PORTCULLIS_UPSTREAM_FAILED'))
  t.equal(failed.length, accepted, 'every one of them is told')
})
