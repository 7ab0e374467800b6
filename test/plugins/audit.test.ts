import t from 'tap'

import { startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const yaml = {
  roles: { user: { allow: ['fixture/*'] }, auditor: { allow: [] }, admin: { allow: ['*/*'] } },
  audit: { payloads: [{ keep: 'full' }] },
}

interface Page { attempts: Record<string, unknown>[], next?: string, attempt?: Record<string, unknown>, events?: unknown[], payloads?: { part: string, text: string }[], error_description?: string }

async function get (gateway: TestGateway, token: string | undefined, path: string): Promise<{ status: number, body: Page }> {
  const response = await fetch(`${gateway.url}/audit/attempts${path}`, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
  return { status: response.status, body: await response.json() as Page }
}

t.test('owners see metadata of their own calls, administrators of all, and only auditors what was in them', async t => {
  const gateway = await startGateway(t, { yaml })
  const [alice, bob, auditor, admin] = [await gateway.addUser('alice', ['user']), await gateway.addUser('bob', ['user']), await gateway.addUser('carol', ['auditor']), await gateway.login()]
  for (const [token, text] of [[alice, 'of alice'], [bob, 'of bob']] as const) await (await gateway.client('/mcp/fixture', token)).callTool({ name: 'echo', arguments: { text } })
  const calls = await gateway.rows({ kind: 'call', tool: 'echo' })
  const [ofAlice = '', ofBob = ''] = calls.map(({ record }) => String(record))

  const own = await get(gateway, alice, '')
  t.equal(own.status, 200)
  t.ok(own.body.attempts.length > 0)
  t.ok(own.body.attempts.every(({ principal }) => principal === 'alice'))
  t.notOk(own.body.attempts.some(attempt => 'arguments' in attempt || 'detail' in attempt))
  t.strictSame((await get(gateway, alice, '?user=bob')).body.attempts, [], 'a filter does not widen what is seen')
  t.match(await get(gateway, alice, '?text=bob'), { status: 403 })
  t.match(await get(gateway, alice, `/${ofAlice}`), { status: 200, body: { attempt: { record: ofAlice, outcome: 'ok' }, events: undefined } })
  t.strictSame(await get(gateway, alice, `/${ofBob}`), await get(gateway, alice, '/nothing'), 'what is not seen does not exist')

  const all = await get(gateway, admin, '?kind=call&tool=echo')
  t.strictSame(all.body.attempts.map(({ record }) => record), [ofBob, ofAlice])
  t.notOk(all.body.attempts.some(attempt => 'arguments' in attempt))
  t.match((await get(gateway, auditor, '?text=alice')).body.attempts, [{ record: ofAlice, arguments: { text: 'of alice' } }])

  for (const token of [alice, bob, admin]) t.match(await get(gateway, token, `/${ofAlice}/payload`), { status: 403 })
  t.match((await get(gateway, auditor, `/${ofAlice}/payload`)).body.payloads, [{ part: 'arguments', text: '{"text":"of alice"}' }, { part: 'result', text: /of alice/ }])
  t.match(await gateway.rows({ kind: 'admin' }), [{ principal: 'carol', detail: { action: 'read payload', of: ofAlice } }], 'a reading is on the record, a refusal to read is none')
})

t.test('pages follow on one another without a gap or a double', async t => {
  const gateway = await startGateway(t, { yaml })
  const token = await gateway.addUser('alice', ['user'])
  const client = await gateway.client('/mcp/fixture', token)
  for (let index = 0; index < 7; index++) await client.callTool({ name: 'echo', arguments: { text: String(index) } })
  const expected = (await gateway.rows({ kind: 'call', tool: 'echo' })).map(({ record }) => record).reverse()
  const found: unknown[] = []
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const { body }: { body: Page } = await get(gateway, token, `?tool=echo&limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`)
    found.push(...body.attempts.map(({ record }) => record))
    cursor = body.next
  }
  t.strictSame(found, expected)
})

t.test('the log is closed to strangers, to tokens for calls, and to parameters it does not know', async t => {
  const gateway = await startGateway(t, { yaml })
  const token = await gateway.login()
  t.match(await get(gateway, undefined, ''), { status: 401 })
  t.match(await get(gateway, 'nonsense', ''), { status: 401 })
  const made = await fetch(`${gateway.url}/auth/tokens`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify({ name: 'narrow', scopes: ['fixture/*'] }) })
  const { token: narrow } = await made.json() as { token: string }
  t.match(await get(gateway, narrow, ''), { status: 403, body: { error_description: /without scopes/ } })
  for (const [query, says] of [['?toool=x', /no parameter "toool"/], ['?since=yesterday', /"since" must be how long ago/], ['?limit=0', /"limit" must be a number/], ['?cursor=x', /"cursor" must be/], ['?tool=a&tool=b', /can be given once/]] as const) {
    t.match(await get(gateway, token, query), { status: 400, body: { error_description: says } }, query)
  }
  t.match(await (await fetch(`${gateway.url}/audit/events`)).json(), { error: 'not_found', error_description: /GET \/audit\/attempts/ })
})
