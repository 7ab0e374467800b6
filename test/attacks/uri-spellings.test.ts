import t from 'tap'
import type { Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { envelope, modernHeaders, openSession, read, rpc } from '../support/wire.ts'

const roles = {
  user: { allow: ['fixture/file:///handbook/*'], deny: ['fixture/file:///handbook/private/*'] },
  wary: { allow: [{ resource: 'fixture/*', where: '!tool.contains("/private/")' }] },
}
const reading = (uri: string): object => rpc('resources/read', { uri })
const every = (uri: string): object[] => [
  reading(uri),
  rpc('resources/subscribe', { uri }),
  rpc('completion/complete', { ref: { type: 'ref/resource', uri }, argument: { name: 'x', value: 'y' } }),
]

interface Reader { readonly gateway: TestGateway, readonly token: string, readonly session: { 'mcp-session-id': string } }

/** Somebody who has read what is allowed: the upstream runs, and what it gets is known. */
async function reader (t: Test, role: string): Promise<Reader> {
  const gateway = await startGateway(t, { yaml: { roles, guards: { deny: [] } } })
  const token = await gateway.addUser('alice', [role])
  const session = await openSession(gateway, token)
  t.match(await read(await gateway.post('/mcp/fixture', token, reading('file:///handbook/day%201.txt'), session)), { body: { result: { contents: [{ uri: 'file:///handbook/day%201.txt' }] } } }, 'what is allowed is read')
  return { gateway, token, session }
}

t.test('a resource that is denied is denied in every spelling, and the upstream hears of none', async (t) => {
  const { gateway, token, session } = await reader(t, 'user')
  const before = gateway.calls().length
  for (const uri of ['file:///handbook/private/pay.csv', 'file:///handbook/%70rivate/pay.csv', 'file:///handbook/./private/pay.csv', 'file:///handbook//private/pay.csv', 'file:///handbook/x/%2e%2e/private%2Fpay.csv', 'file:///handbook/x%2f..%2fprivate/pay.csv', 'file:///handbook\\private\\pay.csv']) {
    for (const message of every(uri)) t.match((await read(await gateway.post('/mcp/fixture', token, message, session))).body, { error: { data: { code: 'PORTCULLIS_UNKNOWN_TARGET' } } }, JSON.stringify(message))
  }
  t.equal(gateway.calls().length, before)
})

t.test('no spelling leaves what is allowed, and the upstream hears of none', async (t) => {
  const { gateway, token, session } = await reader(t, 'user')
  const before = gateway.calls().length
  for (const uri of ['file:///handbook/../etc/passwd', 'file:///handbook/%2e%2e/etc/passwd', 'file:///handbook/.%2e%2fetc/passwd', 'file:///handbook/a?/../../etc/passwd']) {
    for (const message of every(uri)) t.match((await read(await gateway.post('/mcp/fixture', token, message, session))).body, { error: { data: { code: 'PORTCULLIS_UNKNOWN_TARGET' } } }, JSON.stringify(message))
  }
  t.equal(gateway.calls().length, before)
})

t.test('a condition on the URI holds for every spelling', async (t) => {
  const { gateway, token, session } = await reader(t, 'wary')
  const before = gateway.calls().length
  t.match((await read(await gateway.post('/mcp/fixture', token, reading('file:///handbook/%70rivate/pay.csv'), session))).body, { error: { data: { code: 'PORTCULLIS_UNKNOWN_TARGET' } } })
  t.equal(gateway.calls().length, before)
})

t.test('what parsers of URIs drop is refused wherever a resource is named, and the upstream hears nothing', async (t) => {
  const { gateway, token, session } = await reader(t, 'user')
  const before = gateway.calls().length
  for (const uri of ['file:///handbook/.\t./etc/passwd', 'file:///handbook/.\n./etc/passwd', 'file:///handbook/p\rrivate/pay.csv', ' file:///handbook/private/pay.csv', 'file:///handbook/a\0']) {
    for (const message of every(uri)) t.match((await read(await gateway.post('/mcp/fixture', token, message, session))).body, { error: { code: -32602, data: { code: 'PORTCULLIS_INVALID_PARAMS' } } }, JSON.stringify(message))
    const listen = { notifications: { resourceSubscriptions: [uri] }, _meta: envelope }
    const stream = await gateway.post('/mcp/fixture', token, rpc('subscriptions/listen', listen), modernHeaders('subscriptions/listen'))
    const first = await stream.body?.getReader().read()
    t.notMatch(new TextDecoder().decode(first?.value as Uint8Array | undefined), /handbook/, 'a listen does not take it')
  }
  t.notOk(gateway.calls().slice(before).some(({ method }) => method.startsWith('resources/') || method === 'completion/complete'))
})
