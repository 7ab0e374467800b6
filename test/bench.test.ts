import { spawn } from 'node:child_process'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

import t from 'tap'
import type { Test } from 'tap'

interface Call { readonly id: number, readonly params: { readonly arguments: { readonly text: string } } }
interface Load { readonly calls: number, readonly sent: number, readonly right: number, readonly errors: number, readonly reasons: Record<string, number>, readonly latency: { readonly p50: number } | null }
interface Verdict { readonly of: string, readonly verdict: string, readonly why: string }
interface Contender { readonly name: string, readonly eras: readonly string[], start (): Promise<unknown> }
interface Outcome { readonly runs: readonly unknown[], readonly absent: Record<string, string>, readonly ledgers: readonly unknown[], readonly faults: readonly string[] }
interface Direct { readonly calls: number, readonly latency: { readonly p50: number } | null, readonly reasons: Record<string, number> }
interface Storm { readonly sent: number, readonly admitted: number, readonly refused: number, readonly wrong: Record<string, number> }

const bench = (name: string) => new URL(`../bench/${name}`, import.meta.url)
const { judge }: { judge: (ratioOf: (target: { of: string }) => number, platform: { measurable: boolean }) => Verdict[] } = await import(bench('targets.mjs').href)
const { compare }: { compare: (contenders: readonly Contender[], plan: object, say: () => void) => Promise<Outcome> } = await import(bench('rounds.mjs').href)
const { storm }: { storm: (options: object) => Promise<Storm> } = await import(bench('storm.mjs').href)
const { callDirectly }: { callDirectly: (command: readonly string[], options: object) => Promise<Direct> } = await import(bench('stdio-client.mjs').href)
const { measureIdle }: { measureIdle: (kind: string, gateway: { url: URL, pid: number }, tokens: readonly string[], each: number) => Promise<{ readonly streams: number }> } = await import(bench('idle.mjs').href)
const plan = { scenarios: ['small'], rounds: 1, seconds: 0.2, warmUp: 0, heat: 0.1, hot: 100, quietMs: 0, endsBy: 60 }

t.test('the load generator counts the calls that a truthful server answers', async (t) => {
  const url = await serve(t, (call, reply) => reply(result(call.id, call.params.arguments.text)))
  const { code, load } = await generate(url)
  t.equal(code, 0)
  t.equal(load.errors, 0)
  t.ok(load.calls > 0 && load.sent === load.right, 'and every call it sent was answered')
  t.ok(load.latency !== null && load.latency.p50 > 0)
})

t.test('the load generator reports a server that answers with the id of another call', async (t) => {
  const url = await serve(t, (call, reply) => reply(result(call.id + 1, call.params.arguments.text)))
  const { code, load } = await generate(url)
  t.equal(code, 1)
  t.equal(load.right, 0)
  t.ok((load.reasons['wrong id'] ?? 0) > 0)
})

t.test('the load generator reports answers that were exchanged between callers whose ids are equal', async (t) => {
  const waiting = new Map<number, { call: Call, reply: (body: string) => void }>()
  const url = await serve(t, (call, reply) => {
    const other = waiting.get(call.id)
    if (other === undefined) {
      waiting.set(call.id, { call, reply })
      return
    }
    waiting.delete(call.id)
    reply(result(call.id, other.call.params.arguments.text))
    other.reply(result(call.id, call.params.arguments.text))
  })
  const { code, load } = await generate(url)
  t.equal(code, 1)
  t.equal(load.right, 0)
  t.ok((load.reasons['wrong text'] ?? 0) > 0)
})

t.test('a storm comes from many addresses at once, and counts a refusal only when it says when to come back', { skip: process.platform === 'linux' ? false : 'only Linux has all of 127/8' }, async (t) => {
  const addresses = new Set<string>()
  const waiting: http.ServerResponse[] = []
  const server = http.createServer((request, response) => {
    addresses.add(request.socket.remoteAddress ?? '')
    request.resume()
    if (waiting.push(response) < 4) return
    const [admitted, refused, silent, broken] = waiting
    admitted?.end('{"access_token":"x"}')
    refused?.writeHead(503, { 'retry-after': '2' }).end('{}')
    silent?.writeHead(503).end('{}')
    broken?.destroy()
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const outcome = await storm({ origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, username: 'a', password: 'b', logins: 4 })
  t.match(outcome, { sent: 4, admitted: 1, refused: 1, wrong: { 'HTTP 503 without Retry-After': 1, 'connection closed before the answer': 1 } })
  t.equal(addresses.size, 4)
})

t.test('a server is called directly in the era it speaks, and every answer is verified', async (t) => {
  const server = fileURLToPath(bench('servers/stdio-echo.mjs'))
  for (const era of ['legacy', 'modern']) {
    const direct = await callDirectly([process.execPath, server, era], { era, pad: 2_000_000, seconds: 0.2, warmUp: 0 })
    t.ok(direct.calls > 0 && direct.latency !== null, era)
    t.strictSame(direct.reasons, {}, era)
  }
})

t.test('idle streams are open before they are counted', async (t) => {
  const streams = new Set<string>()
  const server = http.createServer((request, response) => {
    if (request.method === 'POST' && request.headers['mcp-method'] === undefined) {
      response.setHeader('mcp-session-id', `session-${streams.size}`).setHeader('content-type', 'application/json').end(result(0, 'hello'))
      return
    }
    streams.add(`${request.headers['authorization']} ${request.method}`)
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"method":"notifications/subscriptions/acknowledged"}\n\n')
  }).listen(0, '127.0.0.1')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  await new Promise((resolve) => server.once('listening', resolve))
  const gateway = { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`), pid: process.pid }
  for (const kind of ['sessions', 'listens']) t.equal((await measureIdle(kind, gateway, ['a', 'b'], 3)).streams, 6, kind)
  t.strictSame([...streams].sort(), ['Bearer a GET', 'Bearer a POST', 'Bearer b GET', 'Bearer b POST'])
})

t.test('a target is missed, never met, when a contender it needs is absent', async (t) => {
  const verdicts = judge(({ of }) => { throw new Error(`${of} is absent`) }, { measurable: true })
  t.ok(verdicts.length > 0)
  t.ok(verdicts.every(({ of, verdict, why }) => verdict === 'missed' && why.includes(`${of} is absent`)))
})

t.test('a target on CPU time is unmeasured where the system does not tell it', async (t) => {
  const verdicts = judge(() => 1, { measurable: false })
  t.ok(verdicts.some(({ verdict }) => verdict === 'unmeasured'))
})

t.test('a comparison finds fault with a gateway whose ledger misses a call, and goes on without a contender that cannot start', async (t) => {
  const url = await serve(t, (call, reply) => reply(result(call.id, call.params.arguments.text)))
  const forgetful = { name: 'forgetful', eras: ['echo'], start: async () => ({ url, pid: process.pid, stop: async (calls: number) => ({ calls, intents: calls, outcomes: calls - 1 }) }) }
  const broken = { name: 'broken', eras: ['echo'], start: async () => { throw new Error('no such program') } }
  const outcome = await compare([forgetful, broken], plan, () => {})
  t.equal(outcome.runs.length, 1)
  t.match(outcome.faults, [/^forgetful: \d+ calls were made, and the ledger has \d+ of their intents and \d+ of their outcomes$/])
  t.strictSame(outcome.absent, { broken: 'no such program' })
})

t.test('the benchmark of the sandbox measures starts, round trips and memory, and a cell takes less than it may', async (t) => {
  const child = spawn(process.execPath, [fileURLToPath(bench('sandbox.mjs')), '--quick'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { printed += text })
  await new Promise((resolve, reject) => { child.once('close', resolve).once('error', reject) })
  t.match(printed, /^start to first answer, server-everything: plain [\d.]+ .* ms, in a cell [\d.]+ .* ms, [\d.]+×$/m)
  t.match(printed, /^(met {3}|MISSED) {2}round trip, in a cell ÷ plain: [\d.]+× \(at most 1\.1×\)$/m, 'how fast it was is the machine\'s business here')
  t.match(printed, /^met {5}memory of one cell beyond its server: 0\.\d+ MiB \(at most 2 MiB\)$/m)
})

/** A server on loopback that hands each call to `answer`; closed with the test. Gives its URL. */
async function serve (t: Test, answer: (call: Call, reply: (body: string) => void) => void): Promise<string> {
  const server = http.createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => { body += text })
    request.on('end', () => answer(JSON.parse(body) as Call, (text) => response.setHeader('content-type', 'application/json').end(text)))
  })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
}

function result (id: number, text: string): string {
  return JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } })
}

/** One short run of the load generator, as the benchmark starts it. */
async function generate (url: string): Promise<{ code: number | null, load: Load }> {
  const child = spawn(process.execPath, [fileURLToPath(bench('load.mjs')), '--url', url, '--era', 'echo', '--connections', '2', '--seconds', '0.3', '--warm-up', '0.1'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { printed += text })
  const code = await new Promise<number | null>((resolve, reject) => { child.once('close', resolve).once('error', reject) })
  return { code, load: JSON.parse(printed) as Load }
}
