import { randomUUID } from 'node:crypto'
import { join } from 'node:path'

import t from 'tap'
import type { Test } from 'tap'

import { auditForget, auditPayload } from '../../src/commands/audit-payload.ts'
import { auditVerify } from '../../src/commands/audit-verify.ts'
import { createLogger } from '../../src/log.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import { ledgerSeed } from '../../src/ledger/keys.ts'
import { audit } from '../support/ledger.ts'
import { startGateway, until } from '../support/gateway.ts'
import type { Row, TestGateway } from '../support/gateway.ts'

const call = (args: object, name = 'echo', id: number = 1): object => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args, _meta: modern } })
const modern = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} }
const headers = (name = 'echo'): Record<string, string> => ({ 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name })

async function gatewayWith (t: Test, spec: object): Promise<TestGateway> {
  return await startGateway(t, { yaml: { audit: spec } })
}

/** Runs a command as a second process on the same data directory would. */
async function command (gateway: TestGateway, run: (command: Parameters<typeof auditPayload>[0]) => Promise<number>): Promise<{ text: string, code: number }> {
  const data = join(gateway.folder, 'data')
  const { database } = gateway
  const ledger = openLedger({ data, database, audit, seed: ledgerSeed(data), log: createLogger({ level: 'silent' }) })
  let text = ''
  const code = await run({ database, ledger, config: { data }, out: chunk => { text += chunk } }).finally(() => ledger.close())
  return { text, code }
}

async function payloadOf (gateway: TestGateway, record: unknown): Promise<{ text: string, code: number }> {
  return await command(gateway, async session => await auditPayload(session, String(record)))
}

async function lastCall (gateway: TestGateway): Promise<Row> {
  return (await gateway.rows({ kind: 'call', method: 'tools/call' })).at(-1) ?? {}
}

t.test('arguments and result are kept sealed, and only a recorded reading opens them', async t => {
  const gateway = await gatewayWith(t, { arguments: 'digest', payloads: [{ tool: 'fixture/echo', keep: 'full' }] })
  const token = await gateway.addUser('alice', ['user'])
  const reply = await gateway.post('/mcp/fixture', token, call({ text: 'the merger is off' }), headers())
  t.equal(reply.status, 200, await reply.text())
  const { record } = await lastCall(gateway)
  const { rows } = await gateway.database.pool.query<{ all: string }>('select string_agg(body::text, \'\') as all from ledger.event')
  t.notMatch(rows[0]?.all, /merger/, 'nothing of it lies there in the clear')
  const { text, code } = await payloadOf(gateway, record)
  t.equal(code, 0)
  t.match(text, /arguments\n {4}\{"text":"the merger is off"\}/)
  t.match(text, /result\n {4}.*the merger is off/)
  const [reading] = await gateway.rows({ kind: 'admin' })
  t.match(reading, { source: 'cli', detail: { action: 'read payload', of: record } })
})

t.test('a forgotten user leaves a chain that verifies and payloads that nobody can open', async t => {
  const gateway = await gatewayWith(t, { arguments: 'digest', payloads: [{ keep: 'full' }], checkpoint_every: '1s' })
  const [alice, bob] = [await gateway.addUser('alice', ['user']), await gateway.addUser('bob', ['user'])]
  const records: unknown[] = []
  for (const token of [alice, bob]) {
    t.equal((await gateway.post('/mcp/fixture', token, call({ text: 'secret of one' }), headers())).status, 200)
    records.push((await lastCall(gateway))['record'])
  }
  await t.rejects(command(gateway, async session => await auditForget(session, 'alice', {})), /cannot be undone/)
  t.equal((await payloadOf(gateway, records[0])).code, 0, 'a question that was not answered does nothing')
  t.match(await command(gateway, async session => await auditForget(session, 'alice', { yes: true })), { code: 0, text: /can never be read again/ })
  t.match(await payloadOf(gateway, records[0]), { code: 1, text: /arguments\n {4}\(cannot be read: its key was destroyed\)/ })
  t.match(await payloadOf(gateway, records[1]), { code: 0, text: /secret of one/ }, 'others keep theirs')
  t.match((await gateway.rows({ kind: 'admin' })).find(({ detail }) => (detail as Row)['action'] === 'forget payloads'), { detail: { user: 'alice' } })

  // What alice does from now on is sealed under another key, in the gateway that knew the old one too.
  await until(async () => {
    await gateway.post('/mcp/fixture', alice, call({ text: 'a new leaf' }), headers())
    return (await payloadOf(gateway, (await lastCall(gateway))['record'])).code === 0
  })
  const verified = await command(gateway, async session => await auditVerify({ ...session, config: { data: join(gateway.folder, 'data') } as never }, {}))
  t.match(verified, { code: 0, text: /^Intact/m })
})

t.test('each rule keeps what it says: nothing, a digest, what is no secret, or all, up to its size', async t => {
  const gateway = await gatewayWith(t, {
    arguments: 'none',
    redact: ['$.customer.*.email'],
    payloads: [{ tool: 'fixture/add', keep: 'none' }, { tool: 'fixture/sleep', keep: 'digest' }, { tool: 'fixture/echo', keep: 'redacted', max: '1KiB' }],
  })
  const token = await gateway.addUser('alice', ['user'])
  const args = { text: 'visible', password: 'hunter2', customer: [{ email: 'a@example.com', name: 'A' }], email: 'kept@example.com', long: 'x'.repeat(5000) }
  await (await gateway.post('/mcp/fixture', token, call(args), headers())).text()
  const kept = await lastCall(gateway)
  t.match(kept, { arguments: null, digest: /^sha256:[0-9a-f]{64}$/ })
  const { text } = await payloadOf(gateway, kept['record'])
  t.match(text, /"text":"visible".*"password":"\[redacted\]".*"customer":\[\{"email":"\[redacted\]","name":"A"\}\],"email":"kept@example.com"/)
  t.ok(text.length < 4000, 'cut to its size')

  await (await gateway.post('/mcp/fixture', token, call({ a: 1, b: 2 }, 'add'), headers('add'))).text()
  const none = await lastCall(gateway)
  t.match(none, { digest: null })
  t.match(await payloadOf(gateway, none['record']), { code: 1, text: /^No payload was kept/ })

  await (await gateway.post('/mcp/fixture', token, call({ ms: 1 }, 'sleep'), headers('sleep'))).text()
  const digested = await lastCall(gateway)
  t.match(digested, { digest: /^sha256:/ })
  t.match(await payloadOf(gateway, digested['record']), { code: 1, text: /^No payload was kept/ })
})

t.test('a payload that was moved to another record, or edited, does not open', async t => {
  const { sealPayload, openPayload } = await import('../../src/ledger/sealed.ts')
  const key = { id: randomUUID(), secret: Buffer.alloc(32, 5) }
  const keys = { find: (id: string) => Promise.resolve(id === key.id ? key : undefined) }
  const sealed = sealPayload(key, 'r1', 'arguments', 'text')
  t.match(await openPayload(keys, 'r1', 'arguments', sealed), { text: 'text' })
  for (const [record, part, text] of [['r2', 'arguments', sealed], ['r1', 'result', sealed], ['r1', 'arguments', `${sealed.slice(0, -2)}AA`], ['r1', 'arguments', key.id]] as const) {
    t.match(await openPayload(keys, record, part, text), { problem: /was changed since/ })
  }
})

t.test('a call whose payload cannot be sealed is not forwarded', async t => {
  const gateway = await gatewayWith(t, { payloads: [{ keep: 'full' }] })
  const token = await gateway.addUser('alice', ['user'])
  await gateway.database.pool.query('alter table payload_keys rename to payload_keys_gone')
  const response = await gateway.post('/mcp/fixture', token, call({ text: 'x' }), headers())
  t.match(await response.text(), /PORTCULLIS_LEDGER_UNAVAILABLE/)
  t.strictSame(gateway.calls().filter(({ method }) => method === 'tools/call'), [], 'the upstream was not asked')
})
