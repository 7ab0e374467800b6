import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'
import { openSession, tool } from '../support/wire.ts'

t.test('what no limit counted does not count after a restart either', async (t) => {
  const database = await testDatabase(t)
  const yaml = { limits: [{ calls: 3, per: 'hour', by: ['user', 'upstream'] }] }
  const env = { PUBLIC_URL: 'https://mcp.example.com' } // the token is good after the restart too
  const first = await startGateway(t, { database, yaml, env })
  const token = await first.addUser('alice', ['user'])
  const client = await first.client('/mcp/fixture', token)
  for (let n = 0; n < 3; n++) {
    await client.complete({ ref: { type: 'ref/prompt', name: 'greeting' }, argument: { name: 'who', value: 'a' } })
    await client.subscribeResource({ uri: 'memo://one' })
  }
  const before = [
    { code: 'PORTCULLIS_SESSION_REQUIRED', message: tool('echo', { text: 'x' }), headers: {} },
    { code: 'PORTCULLIS_SESSION_NOT_FOUND', message: tool('echo', { text: 'x' }), headers: { 'mcp-session-id': 'long gone' } },
    { code: 'PORTCULLIS_UNSUPPORTED_VERSION', message: tool('echo', { text: 'x' }), headers: { 'mcp-protocol-version': '1999-01-01' } },
    { code: 'PORTCULLIS_INVALID_PARAMS', message: tool('x'.repeat(3_000)), headers: await openSession(first, token) },
  ]
  for (const { message, headers } of before) await (await first.post('/mcp/fixture', token, message, headers as Record<string, string>)).text()
  const refused = await first.rows({ kind: 'refusal', upstream: 'fixture' })
  t.same(refused.map(({ code }) => code), before.map(({ code }) => code))
  t.ok(refused.every(({ tool }) => tool !== null), 'each named a tool')
  const count = async (gateway: TestGateway): Promise<string | null> => {
    const response = await gateway.post('/mcp/fixture', token, tool('echo', { text: 'x' }), await openSession(gateway, token))
    await response.text()
    return response.headers.get('ratelimit-remaining')
  }
  t.equal(await count(first), '2')
  await first.gateway.close(0)
  const second = await startGateway(t, { database, yaml, folder: first.folder, env })
  t.equal(await count(second), '1')
})
