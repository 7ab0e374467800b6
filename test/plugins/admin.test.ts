import { join } from 'node:path'

import t from 'tap'

import { openAdministration } from '../../src/identity/administration.ts'
import { openMasterKey } from '../../src/identity/master-key.ts'
import { openPasswords } from '../../src/identity/passwords.ts'
import { startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { openFlow } from '../oauth/flow.ts'

interface Answer { readonly status: number, readonly body: Record<string, unknown> & { next?: string | null } }

t.test('the admin API', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const token = await gateway.login()
  const ask = asker(gateway, token)
  const lastRecord = async (kind: string): Promise<Record<string, unknown>> => (await gateway.rows({ kind })).at(-1) ?? {}

  await t.test('adds users, changes their roles, disables and enables them, and each change acts on the next call', async (t) => {
    const added = await ask('POST', '/users', { name: 'Bo' })
    t.match(added, { status: 201, body: { name: 'Bo', roles: ['user'], disabled: false, password: /^[\w-]{24}$/ } }, 'with the usual role and a password, this once')
    t.match(await lastRecord('user'), { principal: 'admin', detail: { action: 'add', user: 'Bo', before: null, after: { roles: ['user'] } } })
    const bo = await gateway.login('bo', String(added.body['password']))
    const sees = async (): Promise<string> => await (await gateway.post('/mcp/fixture', bo, { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } } })).text()
    t.match(await sees(), /protocolVersion/)
    t.match(await ask('PUT', '/users/bo/roles', { roles: [] }), { status: 200, body: { name: 'Bo', roles: [] } })
    t.match(await lastRecord('user'), { principal: 'admin', detail: { action: 'role', user: 'Bo', before: { roles: ['user'] }, after: { roles: [] } } })
    t.notMatch(await sees(), /protocolVersion/)
    t.match(await ask('POST', '/users/bo/disable'), { status: 200, body: { disabled: true } })
    t.match(await lastRecord('user'), { detail: { action: 'disable', before: { disabled: false }, after: { disabled: true } } })
    t.equal(await flow.status(bo), 401)
    t.match(await ask('POST', '/users/bo/enable'), { status: 200, body: { disabled: false } })
    const reset = await ask('POST', '/users/bo/password', {})
    t.match(reset, { status: 200, body: { password: /^[\w-]{24}$/ } })
    t.equal(await flow.status(await gateway.login('bo', String(reset.body['password']))), 200)
    t.notMatch(JSON.stringify(await gateway.rows({ kind: 'user' })), String(reset.body['password']), 'no password is on the record')
  })

  await t.test('says what is wrong with a request, and changes nothing', async (t) => {
    const cases: [string, string, unknown, number, RegExp][] = [
      ['POST', '/users', {}, 400, /needs the member "name"/], ['POST', '/users', { name: 'x', admin: true }, 400, /not known here: "admin"/], ['POST', '/users', { name: 'BO' }, 400, /already a user named/],
      ['POST', '/users', { name: 'x', roles: ['root'] }, 400, /no role "root".*admin, user/], ['POST', '/users', { name: 'x', password: 'password12345' }, 400, /often used/], ['POST', '/users', { name: '../x' }, 400, /A user name is/],
      ['PUT', '/users/nobody/roles', { roles: [] }, 404, /no user with this name/], ['PUT', '/users/bo/roles', { roles: 'admin' }, 400, /must be an array/],
      ['PUT', '/users/admin/roles', { roles: ['user'] }, 400, /your own role/], ['POST', '/users/admin/disable', undefined, 400, /cannot disable yourself/],
      ['GET', '/users?limit=0', undefined, 400, /limit/], ['GET', '/users?limit=1000', undefined, 400, /limit/], ['GET', '/users?after=nonsense', undefined, 400, /"after"/], ['GET', '/tokens?after=WyJ4IiwieSJd', undefined, 400, /"after"/], ['GET', '/users?x=1', undefined, 400, /not known here/],
      ['DELETE', '/tokens/nonsense', undefined, 404, /no personal access token/], ['DELETE', '/clients/nobody', undefined, 404, /no client/], ['DELETE', '/clients/%00', undefined, 404, /no client/], ['DELETE', '/tokens/%00', undefined, 404, /no personal access token/], ['POST', '/users/%00/disable', undefined, 404, /no user/], ['GET', '/nothing', undefined, 404, /Below \/admin\/api/],
    ]
    for (const [method, path, body, status, text] of cases) t.match(await ask(method, path, body), { status, body: { error: /^[a-z_]+$/, error_description: text, code: /^PORTCULLIS_/ } }, `${method} ${path} ${JSON.stringify(body)}`)
    t.same(((await ask('GET', '/users')).body['users'] as { name: string }[]).map(({ name }) => name), ['admin', 'Bo'])
  })

  await t.test('makes tokens for people, lists and revokes them', async (t) => {
    const made = await ask('POST', '/tokens', { user: 'bo', name: 'robot', scopes: ['fixture/echo'], days: 7 })
    t.match(made, { status: 201, body: { user: 'Bo', name: 'robot', token: /^portcullis_pat_/ } })
    t.match(await lastRecord('token'), { principal: 'admin', detail: { action: 'create', user: 'Bo', before: null, after: { name: 'robot', scopes: ['fixture/echo'] } } })
    t.equal(await flow.status(String(made.body['token'])), 200)
    const listed = await ask('GET', '/tokens?user=bo')
    t.match(listed.body, { tokens: [{ name: 'robot', user: 'Bo' }], next: null })
    t.notMatch(JSON.stringify(listed.body), String(made.body['token']).slice(20))
    t.equal((await ask('DELETE', `/tokens/${String(made.body['id'])}`)).status, 204)
    t.match(await lastRecord('token'), { principal: 'admin', detail: { action: 'revoke', user: 'Bo', before: { name: 'robot' }, after: null } })
    t.equal(await flow.status(String(made.body['token'])), 401)
  })

  await t.test('lists clients and ends one: what people let it do is refused, and it has to ask anew', async (t) => {
    const client = await flow.clientId({ client_name: 'Editor' })
    const tokens = await flow.tokens(client)
    t.match((await ask('GET', '/clients')).body, { clients: [{ id: client, name: 'Editor', kind: 'registered' }] })
    t.equal((await ask('DELETE', `/clients/${client}`)).status, 204)
    t.match(await lastRecord('token'), { principal: 'admin', detail: { action: 'revoke client', client, before: { name: 'Editor', grants: 1 }, after: null } })
    t.equal(await flow.status(tokens.access_token), 401)
    t.equal((await flow.refresh(client, tokens.refresh_token)).status, 401)
  })

  await t.test('rotates the key: both are published, and tokens of the old one stay good', async (t) => {
    const before = (await ask('GET', '/keys')).body['keys'] as { kid: string }[]
    t.match(before, [{ state: 'active', verifiesUntil: null }])
    const rotated = await ask('POST', '/keys/rotate', { now: true })
    t.match(rotated, { status: 201, body: { kid: /^[0-9a-f-]{36}$/ } })
    t.match(await lastRecord('token'), { principal: 'admin', detail: { action: 'rotate key', before: { signs: before[0]?.kid }, after: { signs: rotated.body['kid'] } } })
    await gateway.gateway.app.identity.refreshKeys()
    const { keys } = await (await fetch(`${gateway.url}/oauth/jwks`)).json() as { keys: { kid: string }[] }
    t.same(keys.map(({ kid }) => kid).sort(), [before[0]?.kid, rotated.body['kid']].sort())
    t.equal(await flow.status(token), 200)
    t.match((await ask('GET', '/keys')).body['keys'], [{ kid: rotated.body['kid'], state: 'active' }, { state: 'retired', verifiesUntil: /^20/ }])
  })
})

t.test('lists are read a page at a time, and what is added meanwhile moves nothing', async (t) => {
  const gateway = await startGateway(t)
  const ask = asker(gateway, await gateway.login())
  const { identity } = gateway.gateway.app
  const admin = await identity.authenticate(`Bearer ${await gateway.login()}`)
  for (const name of ['eve', 'bo', 'dora', 'cy']) await ask('POST', '/users', { name })
  for (const name of ['1', '2', '3', '4', '5']) await identity.createToken({ user: admin, name, source: 'test' })
  await Promise.all(['1', '2', '3'].map(async () => await openFlow(gateway).clientId()))

  const first = await ask('GET', '/users?limit=2')
  await ask('POST', '/users', { name: 'aaron' })
  await ask('POST', '/users', { name: 'dan' })
  const names = [...namesOf(first, 'users')]
  for (let page = first; page.body.next != null;) {
    page = await ask('GET', `/users?limit=2&after=${page.body.next}`)
    names.push(...namesOf(page, 'users'))
  }
  t.same(names, ['admin', 'bo', 'cy', 'dan', 'dora', 'eve'])

  for (const [list, count, name] of [['tokens', 5, 'name'], ['clients', 3, 'id']] as const) {
    const seen: string[] = []
    let next: string | null | undefined
    do {
      const page = await ask('GET', `/${list}?limit=2${next == null ? '' : `&after=${next}`}`)
      seen.push(...namesOf(page, list, name))
      next = page.body.next
    } while (next != null)
    t.equal(new Set(seen).size, count, `${list}: each once`)
    t.equal(seen.length, count)
  }
})

t.test('nobody administers but an administrator, with a token that is for it', async (t) => {
  const gateway = await startGateway(t)
  const flow = openFlow(gateway)
  const { identity } = gateway.gateway.app
  const own = await gateway.login()
  const admin = await identity.authenticate(`Bearer ${own}`)
  const personal = async (scopes: string[] | null): Promise<string> => (await identity.createToken({ user: admin, name: 'x', scopes, source: 'test' })).token
  const user = await gateway.addUser('bo', ['user'])
  const bo = await identity.authenticate(`Bearer ${user}`)
  const cases: [string, string | undefined, number, RegExp][] = [
    ['nobody', undefined, 401, /Authentication required/],
    ['a user', user, 403, /for administrators/],
    ['a user with a token that claims it', (await identity.createToken({ user: bo, name: 'x', scopes: ['mcp:admin'], source: 'test' })).token, 403, /for administrators/],
    ['a program that the administrator let in', (await flow.tokens(await flow.clientId())).access_token, 403, /token is for calls/],
    ['such a program, for one upstream', (await flow.tokens(await flow.clientId(), { resource: `${gateway.url}/mcp/fixture` })).access_token, 403, /token is for calls/],
    ['a token of the administrator with all rights', await personal(null), 403, /token is for calls/],
    ['a token of the administrator for everything', await personal(['*/*']), 403, /token is for calls/],
  ]
  const routes = [['GET', '/users'], ['POST', '/users'], ['PUT', '/users/bo/roles'], ['POST', '/users/bo/disable'], ['POST', '/users/bo/enable'], ['POST', '/users/bo/password'], ['GET', '/tokens'], ['POST', '/tokens'], ['DELETE', '/tokens/x'], ['GET', '/clients'], ['DELETE', '/clients/x'], ['GET', '/keys'], ['POST', '/keys/rotate']] as const
  for (const [who, token, status, text] of cases) {
    for (const [method, path] of routes) t.match(await asker(gateway, token)(method, path), { status, body: { error_description: text } }, `${who}: ${method} ${path}`)
  }
  t.equal((await fetch(`${gateway.url}/admin/api/users?access_token=${own}`)).status, 401, 'never in the address')

  const robot = await personal(['mcp:admin'])
  t.match(await asker(gateway, robot)('GET', '/users'), { status: 200, body: { users: [{ name: 'admin' }, { name: 'bo' }] } })
  t.notMatch(await (await gateway.post('/mcp/fixture', robot, { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } } })).text(), /"protocolVersion"/, 'which opens nothing else')
  t.same(gateway.calls(), [], 'no upstream was contacted')

  await gateway.setRoles('admin', ['user'])
  // as from another process: the gateway hears of it a moment later
  await until(async () => (await asker(gateway, robot)('GET', '/users')).status === 403)
  t.match(await asker(gateway, robot)('GET', '/users'), { status: 403, body: { error_description: /for administrators/ } }, 'the role counts now, not when the token was made')
})

t.test('an administrator is limited, and no other with them', async (t) => {
  const gateway = await startGateway(t)
  const ask = asker(gateway, await gateway.login())
  await ask('POST', '/users', { name: 'second', roles: ['admin'], password: 'violet cargo mint thirty-one' })
  const second = asker(gateway, await gateway.login('second', 'violet cargo mint thirty-one'))
  let last = await ask('GET', '/keys')
  for (let sent = 2; sent < 200 && last.status === 200; sent++) last = await ask('GET', '/keys')
  t.match(last, { status: 429, body: { code: 'PORTCULLIS_TOO_MANY_REQUESTS', error_description: /requests a minute/ } })
  t.equal((await second('GET', '/keys')).status, 200)
})

t.test('what cannot be recorded is not done', async (t) => {
  const gateway = await startGateway(t)
  const { db, pool } = gateway.database
  const { identity } = gateway.gateway.app
  const admin = await identity.authenticate(`Bearer ${await gateway.login()}`)
  await gateway.addUser('bo', ['user'])
  const client = await openFlow(gateway).clientId()
  const made = await identity.createToken({ user: admin, name: 'kept', source: 'test' })
  const down = new Error('the ledger cannot be written')
  const administration = openAdministration({ db, passwords: await openPasswords(), audit: () => { throw down }, now: Date.now, master: openMasterKey(join(gateway.folder, 'data')), changed: () => {} }, ['user', 'admin'])
  const by = { principal: { id: admin.id, name: admin.name }, source: 'test' }
  const state = async (): Promise<unknown> => (await pool.query(`
    select (select json_agg(u order by username) from (select username, password_hash, disabled, token_version from users) u) as users,
      (select json_agg(r order by user_id, role) from user_roles r) as roles, (select json_agg(t order by id) from personal_access_tokens t) as tokens,
      (select json_agg(c order by client_id) from oauth_clients c) as clients, (select json_agg(kid order by kid) from signing_keys) as keys`)).rows
  const before = await state()
  const deeds: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['add', async () => await administration.addUser({ name: 'new' }, by)], ['role', async () => await administration.setRoles('bo', [], by)],
    ['disable', async () => await administration.setDisabled('bo', true, by)], ['passwd', async () => await administration.resetPassword('bo', undefined, by)],
    ['create', async () => await administration.createToken({ user: 'bo', name: 'x' }, by)], ['revoke', async () => await administration.revokeToken(made.id, by)],
    ['client', async () => await administration.revokeClient(client, by)], ['rotate', async () => await administration.rotateKey(true, by)],
  ]
  for (const [deed, work] of deeds) await t.rejects(work, { cause: down }, deed)
  t.same(await state(), before)
})

/** Sends one request below /admin/api. */
function asker (gateway: TestGateway, token: string | undefined): (method: string, path: string, body?: unknown) => Promise<Answer> {
  return async (method, path, body) => {
    const response = await fetch(`${gateway.url}/admin/api${path}`, {
      method,
      headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? {} : JSON.parse(text) as Answer['body'] }
  }
}

function namesOf ({ body }: Answer, list: string, member = 'name'): string[] {
  return (body[list] as Record<string, string>[]).map((row) => String(row[member]))
}
