import { join } from 'node:path'
import t from 'tap'
import { fixture, startGateway, until } from '../support/gateway.ts'
import { openSession, rpc, tool } from '../support/wire.ts'

t.test('a client that says hello to a broken upstream again and again begins no session, and pushes out none of its user\'s', async (t) => {
  const folder = t.testdir()
  const gateway = await startGateway(t, {
    folder,
    yaml: {
      upstreams: { fixture: fixture({ shared: join(folder, 'shared'), timeouts: { call: '120s' } }), down: { command: ['node', '-e', 'process.exit(1)'] } },
      roles: { user: { allow: ['*/*'] } },
    },
  })
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token)
  const hanging = gateway.post('/mcp/fixture', token, tool('hang', {}, 'long'), session)
  await until(() => gateway.calls().some(({ params }) => params?.['name'] === 'hang'))
  const hello = rpc('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } })
  for (let sent = 0; sent < 510; sent += 30) {
    const answers = await Promise.all(Array.from({ length: 30 }, async () => await gateway.post('/mcp/down', token, hello)))
    if (sent === 0) t.match(await answers[0]?.text(), /PORTCULLIS_UPSTREAM_UNAVAILABLE/)
    t.ok(answers.every(({ headers }) => !headers.has('mcp-session-id')))
  }
  t.match(await (await fetch(gateway.metricsUrl)).text(), /portcullis_sessions 1$/m)
  t.equal((await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'long' } }, session)).status, 202)
  await until(() => gateway.calls().some(({ method }) => method === 'notifications/cancelled'))
  t.match(await (await hanging).text(), /PORTCULLIS_CANCELLED/, 'the session still knows its call')
})
