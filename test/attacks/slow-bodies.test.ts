// A request is let in by its head, and its body may come much later: nobody acts on rights that ended meanwhile.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'

import t from 'tap'
import type { Test } from 'tap'

import { adminPassword, startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { envelope, modernHeaders, openSession } from '../support/wire.ts'

/** A request whose head is sent, and all of its body but the last byte. */
class Held {
  readonly #socket: Socket
  readonly #last: string
  #answer = ''

  constructor (t: Test, gateway: TestGateway, path: string, token: string, message: object, headers: Readonly<Record<string, string>> = {}) {
    const body = JSON.stringify(message)
    this.#last = body.slice(-1)
    this.#socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
    t.teardown(() => this.#socket.destroy())
    this.#socket.on('data', (chunk: Buffer) => { this.#answer += chunk.toString() })
    const lines = { host: '127.0.0.1', authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'content-length': String(body.length), connection: 'close', ...headers }
    this.#socket.write(`POST ${path} HTTP/1.1\r\n${Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body.slice(0, -1)}`)
  }

  /** Sends the last byte. @returns the status, and what came with it */
  async finish (): Promise<{ readonly status: number, readonly text: string }> {
    const ended = once(this.#socket, 'close')
    this.#socket.write(this.#last)
    await ended
    return { status: Number(this.#answer.split(' ')[1]), text: this.#answer }
  }
}

/** What is sent after these was not there before them: a request that is answered says that those before it were looked at. */
async function lookedAt (gateway: TestGateway): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await fetch(`${gateway.url}/livez`)
}

const echoed = (gateway: TestGateway, text: string): number => gateway.calls().filter(({ method, params }) => method === 'tools/call' && (params['arguments'] as { text?: string }).text === text).length

t.test('T18: a call whose body ends after its user was disabled, lost the role, or revoked the token is refused, and the upstream does not hear of it', async (t) => {
  const gateway = await startGateway(t, { yaml: { roles: { user: { allow: ['fixture/*'] }, guest: { allow: ['fixture/env'] } } } })
  const { identity } = gateway.gateway.app
  const end: Record<string, (user: string, token: { id: string, userId: string }) => Promise<unknown>> = {
    disabled: async (user) => await gateway.disableUser(user),
    demoted: async (user) => await gateway.setRoles(user, ['guest']),
    revoked: async (_user, { id, userId }) => await identity.revokeToken({ id, userId, source: 'test' }),
  }
  for (const [how, act] of Object.entries(end)) {
    const user = `alice-${how}`
    const principal = await identity.authenticate(`Bearer ${await gateway.addUser(user, ['user'])}`)
    const { id, token } = await identity.createToken({ user: principal, name: how, source: 'test' })
    const message = (text: string): object => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text } } })
    const session = await openSession(gateway, token)
    const [legacy, modern, kept] = [
      new Held(t, gateway, '/mcp/fixture', token, message(how), session),
      new Held(t, gateway, '/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text: how }, _meta: envelope } }, modernHeaders('tools/call', 'echo')),
      new Held(t, gateway, '/mcp/fixture', token, message(`before ${how}`), session),
    ]
    await lookedAt(gateway)
    t.match(await kept.finish(), { status: 200, text: `before ${how}` }, 'a slow body is no offence')
    await act(user, { id, userId: principal.id })
    await until(async () => !(await (await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/list' }, session)).text()).includes('"echo"'))
    for (const late of [legacy, modern]) {
      const { status, text } = await late.finish()
      if (how === 'demoted') t.match(text, /Unknown tool|-32602/, `${how}: the tool is unknown now`)
      else t.equal(status, 401, how)
    }
    t.equal(echoed(gateway, how), 0, `${how}: the upstream was not contacted`)
    t.equal(echoed(gateway, `before ${how}`), 1)
  }
})

t.test('T18: an administrator who was disabled cannot undo that, make another, or take a token along with a request that was held back', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('mallory', ['admin'])
  const login = await fetch(`${gateway.url}/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'admin', password: adminPassword }) })
  const { access_token: admin } = await login.json() as { access_token: string }
  const held = [
    new Held(t, gateway, '/admin/api/users', token, { name: 'backdoor', roles: ['admin'], password: 'gravel teapot nine harbour' }),
    new Held(t, gateway, '/admin/api/users/mallory/enable', token, {}),
    new Held(t, gateway, '/auth/tokens', token, { name: 'backdoor' }),
  ]
  await lookedAt(gateway)
  await gateway.disableUser('mallory')
  await until(async () => (await fetch(`${gateway.url}/auth/tokens`, { headers: { authorization: `Bearer ${token}` } })).status === 401)
  for (const request of held) t.equal((await request.finish()).status, 401)
  const listed = async (): Promise<Record<string, unknown>[]> => (await (await fetch(`${gateway.url}/admin/api/users`, { headers: { authorization: `Bearer ${admin}` } })).json() as { users: Record<string, unknown>[] }).users
  await until(async () => (await listed()).some(({ name, disabled }) => name === 'mallory' && disabled === true))
  t.notOk((await listed()).some(({ name }) => name === 'backdoor'))
  t.same((await gateway.rows({ kind: 'token' })).filter(({ principal }) => principal === 'mallory'), [])
})
