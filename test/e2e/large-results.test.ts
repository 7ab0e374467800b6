import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { resultFor } from '../../src/bridge/result.ts'
import { success } from '../../src/protocol/reply.ts'
import { Spliced, writeTo } from '../../src/protocol/spliced.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import { Channel } from '../../src/upstreams/channel.ts'
import { fixtures, startGateway } from '../support/gateway.ts'
import { modernTool, openSession, read, rpc, tool } from '../support/wire.ts'
import type { Wire } from '../support/wire.ts'

const bytes = 10 * 1024 * 1024
const command = ['node', join(fixtures, 'large.mjs')]

/** What the fixture says: quotes, line ends and letters beyond ASCII, so that nothing is the same escaped and plain. */
const expected = 'zeile "größe" €\n😀'.repeat(Math.ceil(bytes / 26))
const hash = (text: string | undefined): string => createHash('sha256').update(text ?? '').digest('hex')

t.test('a result of 10 MiB is in memory once on its way through: the bytes that came are the bytes that leave', async (t) => {
  const child = spawn('node', command.slice(1), { env: { PATH: process.env['PATH'] } })
  t.teardown(() => child.kill('SIGKILL'))
  const ignore = (): void => {}
  const channel = new Channel(child, 16 * 1024 * 1024, { notification: ignore, noise: ignore, dropped: ignore })
  const answer = await new Promise<Answer>((resolve, reject) => channel.request('tools/call', () => '{"name":"large","arguments":{}}', { answer: resolve, fail: reject }, 60_000))
  if (answer.kind !== 'result' || !(answer.text instanceof Spliced)) return t.fail('the answer was decoded')
  const gathered = answer.text.bytes.buffer
  for (const era of ['legacy', 'modern'] as const) {
    const body = success(1, resultFor(answer, 'legacy', era, 'r1', 'tools/call'))
    if (!(body instanceof Spliced)) return t.fail(`it was decoded for ${era}`)
    const written: (string | Buffer)[] = []
    const stream = Object.assign(new PassThrough(), { write: (part: string | Buffer) => written.push(part) > 0 })
    writeTo(stream, body)
    t.ok(written.some((part) => typeof part !== 'string' && part.buffer === gathered), 'what is written is what was read')
    t.ok(written.filter((part) => typeof part === 'string').join('').length < 300, 'beside it there is little')
    t.equal(body.length, Buffer.byteLength(String(body)))
  }
})

t.test('a result of 10 MiB arrives whole, in every shape an answer can have', async (t) => {
  const gateway = await startGateway(t, { yaml: { upstreams: { large: { command } }, roles: { user: { allow: ['large/*'] } } } })
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token, '2025-11-25', '/mcp/large')
  const old = await openSession(gateway, token, '2025-03-26', '/mcp/large')
  const all = await openSession(gateway, token, '2025-11-25', '/mcp')
  const progress = { progressToken: 'p' }
  const [body, headers] = modernTool('large')
  const [streamed, streamedHeaders] = modernTool('large', { progress: true }, progress)
  const shapes = {
    'a body': gateway.post('/mcp/large', token, tool('large', {}, 'ü'), session),
    'a body of 2026-07-28': gateway.post('/mcp/large', token, body, headers),
    'the aggregated endpoint': gateway.post('/mcp', token, tool('large__large'), all),
    'a stream that can be taken up again': gateway.post('/mcp/large', token, rpc('tools/call', { name: 'large', arguments: { progress: true }, _meta: progress }), session),
    'a stream of 2026-07-28': gateway.post('/mcp/large', token, streamed, streamedHeaders),
  }
  for (const [shape, sent] of Object.entries(shapes)) {
    const { status, body: { result } } = await read(await sent)
    t.equal(status, 200, shape)
    t.equal(hash(result?.content?.[0]?.text), hash(expected), shape)
    t.match(result, { _meta: { 'portcullis/record': String } }, shape)
  }
  // One array, or an event each where it took long.
  const { text } = await read(await gateway.post('/mcp/large', token, [tool('large', {}, 1), tool('large', {}, 2)], old))
  const batch = text.startsWith('[') ? JSON.parse(text) as Wire['body'][] : text.split('\n').filter((line) => line.startsWith('data: {')).map((line) => JSON.parse(line.slice(6)) as Wire['body'])
  t.same(batch.map(({ id, result }) => [id, hash(result?.content?.[0]?.text)]).sort(), [[1, hash(expected)], [2, hash(expected)]])
  t.ok((await gateway.rows({ tool: 'large' })).every(({ outcome, bytes_out: out }) => outcome === 'ok' && Number(out) > bytes))
})
