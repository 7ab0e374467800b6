import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'

import fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'

import { metrics as plugin, startMetricsServer } from '../../plugins/metrics.ts'
import type { MetricsServer } from '../../plugins/metrics.ts'
import { createLogger } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics/metrics.ts'
import type { Metrics } from '../../src/metrics/metrics.ts'
import type { InstanceFacts } from '../../src/metrics/sources.ts'

const idle: InstanceFacts = { id: '', upstream: '', owner: 'id of a user', state: 'ready', pid: 1, startedAt: 1, rssBytes: 0, cpuSeconds: 0, processes: 2, openFiles: 0, inFlight: 0, waiting: 0 }

t.test('a call raises its counter and falls into its buckets, once for the gateway and once for the upstream', async t => {
  const metrics = create()
  metrics.callEnded('files', 'read_file', 'ok', 0.003, 0.002)
  metrics.callEnded('files', 'read_file', 'ok', 0.3, 0.2)
  metrics.callEnded('files', 'read_file', 'error', 120, undefined)
  const text = await metrics.registry.metrics()
  for (const line of [
    'portcullis_calls_total{upstream="files",tool="read_file",outcome="ok"} 2',
    'portcullis_calls_total{upstream="files",tool="read_file",outcome="error"} 1',
    'portcullis_call_duration_seconds_bucket{le="0.0025",upstream="files"} 0',
    'portcullis_call_duration_seconds_bucket{le="0.005",upstream="files"} 1',
    'portcullis_call_duration_seconds_bucket{le="0.5",upstream="files"} 2',
    'portcullis_call_duration_seconds_bucket{le="60",upstream="files"} 2',
    'portcullis_call_duration_seconds_bucket{le="+Inf",upstream="files"} 3',
    'portcullis_call_duration_seconds_sum{upstream="files"} 120.303',
    'portcullis_call_duration_seconds_count{upstream="files"} 3',
    'portcullis_upstream_duration_seconds_count{upstream="files"} 2',
    'portcullis_upstream_duration_seconds_bucket{le="0.0025",upstream="files"} 1',
  ]) t.ok(text.split('\n').includes(line), line)
  const json = await metrics.registry.getMetricsAsJSON()
  t.equal(json.find(({ name }) => name === 'portcullis_call_duration_seconds')?.values.length, 19, 'JSON has the same series')
})

t.test('a duration on a bucket border belongs to that bucket', async t => {
  const metrics = create()
  metrics.callEnded('files', 'read_file', 'ok', 0.001, undefined)
  t.match(await metrics.registry.metrics(), 'portcullis_call_duration_seconds_bucket{le="0.001",upstream="files"} 1\n')
})

t.test('counting goes on between two scrapes, and a scrape changes nothing', async t => {
  const metrics = create()
  metrics.callEnded('files', 'read_file', 'ok', 0.1, undefined)
  const first = await metrics.registry.metrics()
  t.equal(await metrics.registry.metrics(), first)
  metrics.callEnded('files', 'read_file', 'ok', 0.1, undefined)
  t.match(await metrics.registry.metrics(), 'portcullis_calls_total{upstream="files",tool="read_file",outcome="ok"} 2\n')
})

t.test('a name outside the catalogue, and a tool too many, do not make series of their own', async t => {
  const metrics = create()
  metrics.callEnded(undefined, undefined, 'refused', 0.001, undefined)
  for (let index = 0; index < 2100; index++) metrics.callEnded('files', `tool_${index}`, 'ok', 0.001, undefined)
  metrics.callEnded('files', 'tool_7', 'ok', 0.001, undefined)
  const lines = (await metrics.registry.metrics()).split('\n').filter(line => line.startsWith('portcullis_calls_total{'))
  t.equal(lines.length, 2001)
  t.ok(lines.includes('portcullis_calls_total{upstream="_unknown",tool="_unknown",outcome="refused"} 1'))
  t.ok(lines.includes('portcullis_calls_total{upstream="files",tool="_other",outcome="ok"} 101'))
  t.ok(lines.includes('portcullis_calls_total{upstream="files",tool="tool_7",outcome="ok"} 2'), 'a tool that was early keeps its series')
})

t.test('a hostile label value cannot break out of its line', async t => {
  const metrics = create()
  metrics.callEnded('files', 'a"} 1\nevil_total 9\\', 'ok', 0.001, undefined)
  t.notMatch(await metrics.registry.metrics(), /^evil_total/m)
})

t.test('every other count has its labels', async t => {
  const metrics = create()
  metrics.refusal('PORTCULLIS_BLOCKED')
  metrics.refusal('PORTCULLIS_BLOCKED')
  metrics.limit('60 per hour by user, tool').exceeded.value++
  metrics.login('refused')
  metrics.login('busy')
  metrics.tokenIssued('device_code')
  metrics.registration()
  metrics.tokenReuse()
  metrics.restart('files', 'exit')
  metrics.noise('files')
  metrics.dropped('files', 'unknown id')
  metrics.appendFailure()
  const text = await metrics.registry.metrics()
  for (const line of [
    'portcullis_refusals_total{code="PORTCULLIS_BLOCKED"} 2',
    'portcullis_limits_total{rule="60 per hour by user, tool",result="exceeded"} 1',
    'portcullis_logins_total{result="refused"} 1',
    'portcullis_logins_total{result="busy"} 1',
    'portcullis_tokens_issued_total{grant="device_code"} 1',
    'portcullis_client_registrations_total 1',
    'portcullis_token_reuse_total 1',
    'portcullis_instance_restarts_total{upstream="files",reason="exit"} 1',
    'portcullis_stdout_noise_total{upstream="files"} 1',
    'portcullis_dropped_messages_total{upstream="files",reason="unknown id"} 1',
    'portcullis_ledger_append_failures_total 1',
    `portcullis_build_info{version="1.2.3",config="abc",node="${process.version}"} 1`,
  ]) t.ok(text.split('\n').includes(line), line)
})

t.test('gauges are read from their owners at each scrape, with one look at the processes', async t => {
  const metrics = create()
  const before = await metrics.registry.metrics()
  t.notMatch(before, /^portcullis_sessions \d/m, 'no owner, no series')
  let looks = 0
  let instances: InstanceFacts[] = [
    { ...idle, id: '1', upstream: 'files', rssBytes: 100, cpuSeconds: 2, openFiles: 5, waiting: 3 },
    { ...idle, id: '2', upstream: 'files', rssBytes: 50, cpuSeconds: 1, openFiles: 9, inFlight: 2 },
    { ...idle, id: '3', upstream: 'git', state: 'starting', rssBytes: 7, processes: 1 },
  ]
  metrics.watch({ sessions: () => 4, streams: () => 2, inLine: () => ['git', 'git'], instances: () => { looks++; return instances } })
  metrics.watch({ ledger: () => ({ lagRecords: 5, lagBytes: 600, leftMs: 1_500 }), database: () => ({ up: true, total: 3, idle: 2, waiting: 1 }) })
  const text = await metrics.registry.metrics()
  t.equal(looks, 1)
  for (const line of [
    'portcullis_sessions 4', 'portcullis_streams 2', 'portcullis_ledger_lag_records 5', 'portcullis_ledger_lag_bytes 600', 'portcullis_ledger_left_seconds 1.5',
    'portcullis_database_up 1', 'portcullis_database_pool{state="idle"} 2', 'portcullis_database_pool{state="waiting"} 1',
    'portcullis_instances{upstream="files",state="ready"} 2', 'portcullis_instances{upstream="git",state="starting"} 1',
    'portcullis_instance_rss_max_bytes{upstream="files"} 100', 'portcullis_instance_processes{upstream="files"} 4', 'portcullis_instance_processes{upstream="git"} 1',
    'portcullis_instance_open_fds{upstream="files"} 14', 'portcullis_instance_open_fds_max{upstream="files"} 9', 'portcullis_upstream_requests_in_flight{upstream="files"} 2',
    'portcullis_upstream_queue_depth{upstream="files",queue="turn"} 3', 'portcullis_upstream_queue_depth{upstream="git",queue="start"} 2',
    'portcullis_instance_rss_bytes{upstream="files"} 150', 'portcullis_instance_cpu_seconds_total{upstream="files"} 3',
  ]) t.ok(text.split('\n').includes(line), line)
  instances = [{ ...idle, id: '2', upstream: 'files', state: 'stopping', rssBytes: 50, cpuSeconds: 1.5 }]
  t.notMatch(text, 'id of a user', 'whose an instance is stays out of the metrics')
  const later = (await metrics.registry.metrics()).split('\n')
  t.ok(later.includes('portcullis_instance_cpu_seconds_total{upstream="files"} 3.5'), 'processor time never falls when an instance ends')
  t.ok(later.includes('portcullis_instances{upstream="files",state="stopping"} 1'))
  t.notOk(later.some(line => line.startsWith('portcullis_instances{upstream="git"')), 'what is gone is gone')
})

t.test('an owner that fails costs its own series and not the scrape', async t => {
  const metrics = create()
  metrics.watch({ sessions: () => { throw new Error('broken') }, instances: () => Promise.reject(new Error('broken')), streams: () => 1 })
  const text = await metrics.registry.metrics()
  t.match(text, /^portcullis_streams 1$/m)
  t.notMatch(text, /^portcullis_sessions \d/m)
})

t.test('the documentation names every metric, and no metric that does not exist', async t => {
  const metrics = create()
  const registered = metrics.registry.getMetricsAsArray().map(({ name }) => name).sort()
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const documented = [...new Set([...page.matchAll(/^\| `(portcullis_[a-z_]+)/gm)].map(([, name = '']) => name))].sort()
  t.strictSame(documented, registered)
})

t.test('Node itself is measured too', async t => {
  const { registry } = createMetrics({ version: '1.2.3' })
  t.match(await registry.metrics(), /^nodejs_eventloop_lag_p99_seconds /m)
})

t.test('on the main port only the preHandler of the administrator opens the page', async t => {
  const metrics = create()
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(plugin, {
    registry: metrics.registry,
    authenticateAdmin: async request => {
      if (request.headers.authorization !== 'Bearer admin') throw Object.assign(new Error('no'), { statusCode: 401 })
    },
  })
  t.equal((await app.inject('/metrics')).statusCode, 401)
  const page = await app.inject({ url: '/metrics', headers: { authorization: 'Bearer admin' } })
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], 'text/plain; version=0.0.4')
  t.match(page.body, 'portcullis_build_info')
})

t.test('the listener serves the scraper, and nothing else', async t => {
  const { server } = await listen(t)
  const page = await get(server, '/metrics')
  t.equal(page.status, 200)
  t.match(page.headers['content-type'], 'text/plain; version=0.0.4')
  t.match(page.body, 'portcullis_build_info')
  t.equal((await get(server, '/metrics?x=1')).status, 200)
  const standing = await get(server, '/readyz')
  t.strictSame([standing.status, standing.headers['content-type'], standing.body], [200, 'application/json; charset=utf-8', '{"pid":1}'])
  t.equal((await get(server, '/')).status, 404)
  const post = await get(server, '/metrics', { method: 'POST' })
  t.equal(post.status, 405)
  t.equal(post.headers.allow, 'GET, HEAD')
  const head = await get(server, '/metrics', { method: 'HEAD' })
  t.equal(head.status, 200)
  t.equal(head.body, '')
})

t.test('a web page that rebinds its name to the listener is refused', async t => {
  const { server } = await listen(t, { hosts: ['metrics.example.org'] })
  for (const host of ['127.0.0.1:9464', '[::1]:9464', '10.1.2.3', 'localhost:9464', 'gateway:9464', 'metrics.example.org']) {
    t.equal((await get(server, '/metrics', { host })).status, 200, host)
  }
  for (const host of ['evil.example.com:9464', 'localhost.evil.example', '127.0.0.1.evil.example', 'a@b']) {
    t.equal((await get(server, '/metrics', { host })).status, 403, host)
  }
})

t.test('a port in use is a warning that names the variable, and the gateway goes on', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => taken.once('listening', resolve))
  t.teardown(() => taken.close())
  const { server, lines } = await listen(t, { port: (taken.address() as AddressInfo).port })
  t.equal(server.address, undefined)
  t.match(lines[0], /EADDRINUSE.*METRICS_PORT/)
  await server.close()
})

t.test('closing twice is closing once, and a held connection does not stop it', async t => {
  const { server } = await listen(t)
  await get(server, '/metrics', { keepAlive: true })
  await server.close()
  await server.close()
})

function create (): Metrics {
  return createMetrics({ version: '1.2.3', config: 'abc', process: false })
}

async function listen (t: Test, options: { port?: number, hosts?: string[] } = {}): Promise<{ server: MetricsServer, lines: string[] }> {
  const lines: string[] = []
  const stream = new Writable({
    write (chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString())
      done()
    },
  })
  const server = await startMetricsServer({ host: '127.0.0.1', port: 0, registry: create().registry, standing: async () => ({ pid: 1 }), log: createLogger({ level: 'info', stream }), ...options })
  t.teardown(() => server.close())
  return { server, lines }
}

interface Answer { status: number | undefined, headers: IncomingHttpHeaders, body: string }

/** node:http rather than fetch, which does not let a caller choose the Host. */
function get (server: MetricsServer, path: string, { method = 'GET', host, keepAlive = false }: { method?: string, host?: string, keepAlive?: boolean } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { ...(host !== undefined && { host }), connection: keepAlive ? 'keep-alive' : 'close' }
    request({ host: '127.0.0.1', port: server.address?.port, path, method, headers }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { body += chunk })
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }))
    }).on('error', reject).end()
  })
}
