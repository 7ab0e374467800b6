import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import t from 'tap'
import type { Test } from 'tap'

import type { Database } from '../../db/connect.ts'
import { fixture, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'

const envelope = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} }

interface Answer { readonly status: number, readonly text: string }

/** A request that is under way: what came of it, once it ended. */
interface UnderWay { answer: Answer | undefined }

function begin (t: Test, gateway: TestGateway, token: string, method: string, params: Record<string, unknown>, name?: string): UnderWay {
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  const self: UnderWay = { answer: undefined }
  const send = async (): Promise<void> => {
    const response = await fetch(`${gateway.url}/mcp/fixture`, {
      method: 'POST',
      signal: leaving.signal,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(name !== undefined && { 'mcp-name': name }) },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: envelope } }),
    })
    self.answer = { status: response.status, text: await response.text() }
  }
  send().catch(() => {})
  return self
}

const call = (t: Test, gateway: TestGateway, token: string, name: string, args: Record<string, unknown> = {}): UnderWay => begin(t, gateway, token, 'tools/call', { name, arguments: args }, name)
const listen = (t: Test, gateway: TestGateway, token: string): UnderWay => begin(t, gateway, token, 'subscriptions/listen', { notifications: { toolsListChanged: true } })
const hanging = (gateway: TestGateway): number => gateway.calls().filter(({ method, params }) => method === 'tools/call' && params['name'] === 'hang').length
const cancelled = (gateway: TestGateway): number => gateway.calls().filter(({ method }) => method === 'notifications/cancelled').length

async function start (t: Test, { database, keys }: { database?: Database, keys?: string } = {}): Promise<TestGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-tokens-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  if (keys !== undefined) {
    mkdirSync(join(folder, 'data'), { recursive: true })
    cpSync(join(keys, 'data', 'keys'), join(folder, 'data', 'keys'), { recursive: true })
  }
  return await startGateway(t, { folder, ...(database !== undefined && { database }), yaml: { upstreams: { fixture: fixture({ shared: join(folder, 'shared'), timeouts: { call: '200s' } }) }, roles: { user: { allow: ['fixture/*'] } } } })
}

/** Two personal access tokens of one user. */
async function tokensOf (gateway: TestGateway): Promise<{ readonly id: string, readonly token: string, readonly userId: string }[]> {
  const { identity } = gateway.gateway.app
  const user = await identity.authenticate(`Bearer ${await gateway.addUser('alice', ['user'])}`)
  const made = await Promise.all(['laptop', 'server'].map(async (name) => await identity.createToken({ user, name, source: 'test' })))
  return made.map(({ id, token }) => ({ id, token, userId: user.id }))
}

t.test('T18: a token that is revoked ends the calls and streams that are under way with it, and no others (39)', async (t) => {
  const gateway = await start(t)
  const [lost, kept] = await tokensOf(gateway)
  if (lost === undefined || kept === undefined) throw new Error('no tokens')
  const [call1, call2] = [call(t, gateway, lost.token, 'hang'), call(t, gateway, kept.token, 'hang')]
  const [stream1, stream2] = [listen(t, gateway, lost.token), listen(t, gateway, kept.token)]
  await until(() => hanging(gateway) === 2)
  await until(async () => (await (await fetch(gateway.metricsUrl)).text()).includes('portcullis_streams 2'))

  await gateway.gateway.app.identity.revokeToken({ id: lost.id, userId: lost.userId, source: 'test' })
  await until(() => call1.answer !== undefined && stream1.answer !== undefined)
  t.equal(call1.answer?.status, 401)
  t.match(call1.answer?.text, /PORTCULLIS_INVALID_TOKEN.*/)
  t.equal(cancelled(gateway), 1, 'the upstream was told to stop, once')
  t.match((await gateway.rows({ tool: 'hang' })).find(({ outcome }) => outcome !== 'pending'), { principal: 'alice', code: 'PORTCULLIS_INVALID_TOKEN' })

  const echo = call(t, gateway, kept.token, 'echo', { text: 'still here' })
  await until(() => echo.answer !== undefined)
  t.match(echo.answer, { status: 200, text: /still here/ })
  t.equal(call2.answer, undefined, 'the call of the other token goes on')
  t.equal(stream2.answer, undefined, 'and so does its stream')
  const again = call(t, gateway, lost.token, 'hang')
  await until(() => again.answer !== undefined)
  t.equal(again.answer?.status, 401)
  t.equal(hanging(gateway), 2, 'the upstream does not hear of the revoked token again')
})

t.test('T18: a revocation is seen by a second gateway on the same database (39)', async (t) => {
  const database = await testDatabase(t)
  const one = await start(t, { database })
  const two = await start(t, { database, keys: one.folder })
  const [lost] = await tokensOf(one)
  if (lost === undefined) throw new Error('no token')
  const [hang, stream] = [call(t, two, lost.token, 'hang'), listen(t, two, lost.token)]
  await until(() => hanging(two) === 1)
  await until(async () => (await (await fetch(two.metricsUrl)).text()).includes('portcullis_streams 1'))

  await one.gateway.app.identity.revokeToken({ id: lost.id, userId: lost.userId, source: 'test' })
  await until(() => hang.answer !== undefined && stream.answer !== undefined)
  t.equal(hang.answer?.status, 401, 'what was under way there has ended')
  const again = call(t, two, lost.token, 'hang')
  await until(() => again.answer !== undefined)
  t.equal(again.answer?.status, 401)
  t.equal(hanging(two), 1, 'the upstream was not contacted again')
})
