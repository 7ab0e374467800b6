import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { stringify } from 'yaml'
import { fixture, freePort, startGateway, until } from '../support/gateway.ts'
import { start as startAsking } from '../support/asking.ts'
import { cableTo, stopRecording } from '../support/outage.ts'
import { testDatabase } from '../support/postgres.ts'
import { openFolder } from '../support/serve.ts'

const cli = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url))
const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'load', version: '1' } } }

t.test('kill -9 under load: every call that reached the upstream has its record after the restart', async (t) => {
  const database = await testDatabase(t)
  const { folder, shared } = openFolder(t)
  writeFileSync(join(folder, 'upstreams.yaml'), stringify({ upstreams: { fixture: fixture({ shared }) }, roles: { admin: { allow: ['*/*'] } }, limits: [{ calls: 1_000_000, per: 'hour', by: ['user'] }] }))
  const port = await freePort()
  const env = { PATH: process.env['PATH'] ?? '', DATABASE_URL: database.url, PORT: String(port), METRICS_PORT: String(await freePort()), PORTCULLIS_DATA: join(folder, 'data'), PORTCULLIS_ADMIN_PASSWORD: 'gravel teapot nine harbour', LOG_LEVEL: 'warn' }
  const url = `http://127.0.0.1:${port}`
  const start = async (): Promise<ReturnType<typeof spawn>> => {
    const child = spawn(process.execPath, [cli, 'serve', '--config', join(folder, 'upstreams.yaml')], { env, stdio: ['ignore', 'ignore', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    await until(async () => await fetch(`${url}/readyz`).then(({ ok }) => ok, () => false), 120_000)
    return child
  }

  const first = await start()
  const token = (await (await fetch(`${url}/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'admin', password: 'gravel teapot nine harbour' }) })).json() as { access_token: string }).access_token
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
  const opened = await fetch(`${url}/mcp/fixture`, { method: 'POST', headers, body: JSON.stringify(initialize) })
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '' }
  const call = (text: string): Promise<Response> => fetch(`${url}/mcp/fixture`, { method: 'POST', headers: { ...headers, ...session }, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text } } }) })
  let sent = 0
  const caller = async (): Promise<void> => {
    while (sent < 2000) {
      const answered = await call(`call ${sent++}`).then(async (response) => await response.text(), () => undefined)
      if (answered === undefined) return
    }
  }
  const load = Promise.all(Array.from({ length: 16 }, caller))
  await until(() => sent > 300)
  first.kill('SIGKILL')
  await load

  const second = await start()
  const again = await call('after the restart')
  t.match(await again.json(), { result: { content: [{ text: 'after the restart' }] } }, 'the session outlived the process')
  second.kill('SIGTERM')
  await new Promise((resolve) => second.once('exit', resolve))

  const reached = readFileSync(join(shared, 'calls'), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as { method: string, params: { arguments: { text: string } } }).filter(({ method }) => method === 'tools/call').map(({ params }) => params.arguments.text)
  const { rows } = await database.pool.query<{ text: string, outcome: string }>("select arguments->>'text' as text, outcome from ledger.attempt where method = 'tools/call'")
  const recorded = new Set(rows.map(({ text }) => text))
  t.ok(reached.length > 200, `${reached.length} calls reached the upstream`)
  t.same(reached.filter((text) => !recorded.has(text)), [], 'none without a record')
  t.equal(recorded.size, rows.length, 'and none twice')
  t.ok(existsSync(join(folder, 'data')))
})

t.test('a database that goes away: calls are recorded while they can be, refused when not, and all is well afterwards', async (t) => {
  const database = await testDatabase(t)
  const cable = await cableTo(t, database.url)
  const gateway = await startGateway(t, { database, env: { DATABASE_URL: cable.url }, yaml: { limits: [{ calls: 1_000_000, per: 'hour', by: ['user'] }], audit: { max_outage: '2s' } } })
  const token = await gateway.addUser('alice', ['user'])
  const opened = await gateway.post('/mcp/fixture', token, initialize)
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '' }
  let sent = 0
  const call = async (): Promise<{ status: number, text: string, code: string | undefined }> => {
    const text = `call ${sent++}`
    const response = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text } } }, session)
    const body = await response.json() as { error?: { data?: { code?: string } } }
    return { status: response.status, text, code: body.error?.data?.code }
  }
  t.match(await call(), { status: 200 })
  await cable.pull()
  let refused: Awaited<ReturnType<typeof call>> | undefined
  await until(async () => {
    const answer = await call()
    if (answer.status !== 200) refused = answer
    return refused !== undefined
  }, 20_000)
  t.match(refused, { status: 503, code: /^PORTCULLIS_(LEDGER_UNAVAILABLE|OVERLOADED)$/ })
  await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 503)
  t.notOk(gateway.calls().some(({ params }) => (params?.['arguments'] as { text?: string } | undefined)?.text === refused?.text), 'a refused call was not forwarded')

  await cable.plug()
  await until(async () => (await call()).status === 200, 20_000)
  await until(async () => (await fetch(`${gateway.url}/readyz`)).ok)
  const recorded = new Set((await gateway.rows({ kind: 'call', tool: 'echo' })).map(({ arguments: args }) => (args as { text: string }).text))
  const reached = gateway.calls().filter(({ method }) => method === 'tools/call').map(({ params }) => (params['arguments'] as { text: string }).text)
  t.same(reached.filter((text) => !recorded.has(text)), [], 'every forwarded call is on the record')
})

t.test('an answer that cannot be recorded does not reach the upstream that asked', async (t) => {
  const database = await testDatabase(t)
  const gateway = await startAsking(t, {}, { database, audit: { max_outage: '1s' } })
  const token = await gateway.addUser('alice', ['user'])
  const opened = await gateway.post('/mcp/curious', token, { ...initialize, params: { ...initialize.params, capabilities: { elicitation: { form: {} } } } })
  const session = { 'mcp-session-id': opened.headers.get('mcp-session-id') ?? '' }
  const asking = await gateway.post('/mcp/curious', token, { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'paint', arguments: { what: 'a door' } } }, session)
  const stream = (asking.body ?? t.fail()) as ReadableStream<Uint8Array>
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader()
  let heard = ''
  const hear = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(heard)) {
      const { value, done } = await reader.read()
      if (done) break
      heard += value
    }
    return pattern.exec(heard)?.[1] ?? ''
  }
  const id = await hear(/"id":"(ask-[\w-]+)"/)
  const resume = await stopRecording(database)
  await gateway.post('/mcp/curious', token, { jsonrpc: '2.0', id: 8, method: 'tools/list' }, session)
  await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 503, 20_000)
  const answered = await gateway.post('/mcp/curious', token, { jsonrpc: '2.0', id, result: { action: 'accept', content: { colour: 'never recorded' } } }, session)
  t.match(await answered.json(), { error: { code: 503, data: { code: 'PORTCULLIS_LEDGER_UNAVAILABLE' } } })
  await hear(/("id":7[,}])/)
  t.match(heard, /"id":7[,}]/, 'the call has ended')
  t.notMatch(heard, 'never recorded', 'and its server had no answer to repeat')
  await resume()
})
