import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'

import t from 'tap'
import type { Test } from 'tap'

import type { SinkSpec } from '../../src/config/config.ts'
import { openSinks } from '../../src/ledger/sinks/sinks.ts'
import type { Sinks } from '../../src/ledger/sinks/sinks.ts'
import { createLogger } from '../../src/log.ts'
import type { Database } from '../../db/connect.ts'
import { startGateway, until } from '../support/gateway.ts'
import { intent, outcome, temporaryDirectory, testLedger } from '../support/ledger.ts'
import { testDatabase } from '../support/postgres.ts'

/** A collector that takes lines by POST, as long as `well`. */
async function collector (t: Test): Promise<{ url: string, lines: string[], tokens: (string | undefined)[], well: boolean, refused: number }> {
  const state = { url: '', lines: [] as string[], tokens: [] as (string | undefined)[], well: true, refused: 0 }
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => {
      state.tokens.push(request.headers.authorization)
      if (state.well) state.lines.push(...body.split('\n').slice(0, -1))
      else state.refused++
      response.writeHead(state.well ? 204 : 503).end()
    })
  })
  state.url = `http://127.0.0.1:${await listening(t, server)}/in`
  return state
}

async function listening (t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.teardown(() => { server.close() })
  return (server.address() as AddressInfo).port
}

function specOf (url: string, more: Partial<SinkSpec> = {}): SinkSpec {
  return { url, format: 'ndjson', tokenFile: undefined, maxLag: 60_000, onLag: 'wait', ...more }
}

function sinksOf (t: Test, database: Database, spec: SinkSpec): Sinks {
  const sinks = openSinks([spec], { database, log: createLogger({ level: 'silent' }) })
  t.teardown(async () => await sinks.close())
  return sinks
}

function recordsOf (lines: readonly string[]): string[] {
  return lines.map(line => (JSON.parse(line) as { record: string }).record)
}

t.test('a sink gets every attempt, goes on where it was, and gets again what it did not confirm', async t => {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t))
  const place = await collector(t)
  const first = sinksOf(t, database, specOf(place.url))
  ledger.append(intent('a1'))
  ledger.append(outcome('a1'))
  await until(() => place.lines.length === 1)
  await first.close()

  place.well = false
  ledger.append({ kind: 'user', record: 'u1', outcome: 'ok' })
  const second = sinksOf(t, database, specOf(place.url))
  await until(() => place.refused > 0)
  t.strictSame(recordsOf(place.lines), ['a1'])
  place.well = true
  await until(() => place.lines.length === 2, 30_000)
  t.strictSame(recordsOf(place.lines), ['a1', 'u1'])
  await second.close()
})

t.test('of two gateways one brings records to a sink, and the other takes over', async t => {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t))
  const place = await collector(t)
  const [one, other] = [sinksOf(t, database, specOf(place.url)), sinksOf(t, database, specOf(place.url))]
  for (let index = 0; index < 5; index++) ledger.append({ kind: 'user', record: `u${index}`, outcome: 'ok' })
  await until(() => place.lines.length >= 5)
  await one.close()
  ledger.append({ kind: 'user', record: 'last', outcome: 'ok' })
  await until(() => place.lines.length >= 6)
  await other.close()
  t.strictSame(recordsOf(place.lines), ['u0', 'u1', 'u2', 'u3', 'u4', 'last'])
})

t.test('syslog messages arrive whole, with their length before them', async t => {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t))
  let received = Buffer.alloc(0)
  const port = await listening(t, createTcpServer(socket => { socket.on('data', chunk => { received = Buffer.concat([received, chunk]) }) }))
  ledger.append({ kind: 'refusal', record: 'b1', principal: { id: 'b', name: 'bö\nb' }, upstream: 'x', target: 'y', method: 'tools/call', decision: 'deny', outcome: 'refused', code: 'PORTCULLIS_UNKNOWN_TARGET' })
  ledger.append({ kind: 'login', record: 'l1', outcome: 'ok' })
  await until(() => ledger.status.lagRecords === 0)
  sinksOf(t, database, specOf(`syslog+tcp://127.0.0.1:${port}`, { format: 'cef' }))
  const messages: string[] = []
  await until(() => {
    messages.length = 0
    for (let rest = received; rest.length > 0;) {
      const space = rest.indexOf(' ')
      const length = Number(rest.toString('latin1', 0, space))
      messages.push(rest.toString('utf8', space + 1, space + 1 + length))
      rest = rest.subarray(space + 1 + length)
    }
    return messages.length === 2
  })
  t.match(messages[0], /^<108>1 20\S+Z \S+ portcullis - b1 - CEF:0\|Portcullis\|.*\|PORTCULLIS_UNKNOWN_TARGET\|x\/y\|6\|.*suser=bö b /)
  t.match(messages[1], /^<110>1 .* l1 - CEF:0\|/)
})

t.test('with on_lag: deny, calls are refused while a sink is behind, and the upstream is not asked', async t => {
  const place = await collector(t)
  const gateway = await startGateway(t, { yaml: { audit: { sinks: [{ url: place.url, max_lag: '5s', on_lag: 'deny' }] } } })
  const token = await gateway.login()
  place.well = false
  const call = async (): Promise<string> => await (await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'raw', version: '1' } } })).text()
  await until(async () => (await call()).includes('PORTCULLIS_LEDGER_UNAVAILABLE'))
  const asked = gateway.calls().length
  t.match(await call(), 'PORTCULLIS_LEDGER_UNAVAILABLE')
  t.equal(gateway.calls().length, asked, 'the upstream is not asked any more')
  place.well = true
  await until(async () => (await call()).includes('serverInfo'), 60_000)
  t.ok(place.lines.length > 0)
})
