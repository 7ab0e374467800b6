import { join } from 'node:path'
import t from 'tap'
import { fixture, startGateway, until } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'
import { openSession, tool } from '../support/wire.ts'

/** One address for all replicas: tokens are good at each. */
const env = { PUBLIC_URL: 'https://mcp.example.com' }

t.test('26: a session that was ended stays so after a restart, and at every other gateway', async (t) => {
  const database = await testDatabase(t)
  const here = await startGateway(t, { database, env })
  const token = await here.addUser('alice', ['user'])
  const headers = async (): Promise<Record<string, string>> => {
    const response = await here.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } } })
    return { 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' }
  }
  const [ended, kept, seen] = [await headers(), await headers(), await headers()]
  const end = async (session: Record<string, string>): Promise<number> => (await fetch(`${here.url}/mcp/fixture`, { method: 'DELETE', headers: { authorization: `Bearer ${token}`, ...session } })).status
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
  t.equal(await end(ended), 204)
  t.equal((await here.post('/mcp/fixture', token, ping, ended)).status, 404)

  const other = await startGateway(t, { database, env, folder: here.folder })
  t.equal((await other.post('/mcp/fixture', token, ping, ended)).status, 404, 'a gateway that starts later knows')
  t.equal((await other.post('/mcp/fixture', token, ping, seen)).status, 200, 'a session is good at any replica')
  t.equal(await end(seen), 204)
  await until(async () => (await other.post('/mcp/fixture', token, ping, seen)).status === 404)
  t.equal((await other.post('/mcp/fixture', token, ping, kept)).status, 200, 'others go on')
})

t.test('a session that is ended at one gateway lets go of its stream and its calls at the others', async (t) => {
  const database = await testDatabase(t)
  const folder = t.testdir()
  const yaml = { upstreams: { fixture: fixture({ shared: join(folder, 'shared'), timeouts: { call: '120s' } }) }, roles: { user: { allow: ['*/*'] } } }
  const here = await startGateway(t, { database, env, folder, yaml })
  const other = await startGateway(t, { database, env, folder, yaml })
  const token = await here.addUser('alice', ['user'])
  const session = await openSession(here, token)
  const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream', ...session }
  const stream = await fetch(`${other.url}/mcp/fixture`, { headers })
  const hanging = other.post('/mcp/fixture', token, tool('hang'), session)
  await until(() => here.calls().some(({ params }) => params?.['name'] === 'hang'))
  t.equal((await fetch(`${here.url}/mcp/fixture`, { method: 'DELETE', headers })).status, 204)
  t.equal(await stream.text(), '', 'the stream has ended')
  t.match(await (await hanging).text(), /PORTCULLIS_CANCELLED/)
  await until(() => here.calls().some(({ method }) => method === 'notifications/cancelled'))
  t.equal((await fetch(`${other.url}/mcp/fixture`, { headers })).status, 404)
})
