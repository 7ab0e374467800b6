import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { openSession, read, rpc, tool } from '../support/wire.ts'

t.test('nothing a client writes reaches an upstream past the guards, wherever in a message it stands', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token)
  const send = async (body: object): Promise<unknown> => (await read(await gateway.post('/mcp/fixture', token, body, session))).body
  const _meta = { 'example.org/note': 'rm -rf /' }
  const key = { 'rm -rf /': 1 }
  const argument = (value: string): object => ({ ref: { type: 'ref/prompt', name: 'greeting' }, argument: { name: 'who', value } })
  t.match(await send(rpc('tools/call', { name: 'echo', arguments: { text: 'x' }, _meta: { 'example.org/note': 'fine', progressToken: 'rm -rf /' } })), { result: { content: [{ text: 'x' }] } }, 'the progress token stays here')
  t.match(await send(rpc('tools/list', { cursor: 'next', _meta: { 'example.org/note': 'fine' } })), { result: { tools: Array } })
  t.match(await send(rpc('completion/complete', argument('x'.repeat(1000)))), { result: { completion: Object } })
  const before = gateway.calls().length

  const refused: [name: string, body: object, ours: string][] = [
    ['the name of a prompt', rpc('prompts/get', { name: '../../../../etc/passwd', arguments: {} }), 'PORTCULLIS_BLOCKED'],
    ['the name of a prompt in disguise', rpc('prompts/get', { name: '%2e%2e/etc', _meta: { 'example.org/note': 'fine' } }), 'PORTCULLIS_BLOCKED'],
    ['_meta of a call', rpc('tools/call', { name: 'echo', arguments: { text: 'x' }, _meta }), 'PORTCULLIS_BLOCKED'],
    ['a name in _meta', rpc('tools/call', { name: 'echo', arguments: { text: 'x' }, _meta: key }), 'PORTCULLIS_BLOCKED'],
    ['_meta of a prompt', rpc('prompts/get', { name: 'greeting', _meta }), 'PORTCULLIS_BLOCKED'],
    ['_meta of a resource', rpc('resources/read', { uri: 'memo://one', _meta }), 'PORTCULLIS_BLOCKED'],
    ['_meta of a list', rpc('tools/list', { _meta }), 'PORTCULLIS_BLOCKED'],
    ['a large _meta of a list', rpc('tools/list', { _meta: { 'example.org/note': 'x'.repeat(70_000) } }), 'PORTCULLIS_ARGUMENTS_TOO_LARGE'],
    ['a large cursor', rpc('tools/list', { cursor: 'x'.repeat(5000) }), 'PORTCULLIS_INVALID_PARAMS'],
    ['a huge cursor', rpc('prompts/list', { cursor: 'x'.repeat(3_500_000) }), 'PORTCULLIS_ARGUMENTS_TOO_LARGE'],
    ['a cursor of two lines', rpc('resources/list', { cursor: 'a\nb' }), 'PORTCULLIS_INVALID_PARAMS'],
    ['a cursor that is an object', rpc('resources/list', { cursor: {} }), 'PORTCULLIS_INVALID_PARAMS'],
    ['a large completion', rpc('completion/complete', argument('x'.repeat(70_000))), 'PORTCULLIS_ARGUMENTS_TOO_LARGE'],
    ['arguments in more forms than anybody needs', tool('run', { command: 'x\n../', more: Array.from({ length: 30_000 }, (_, index) => `%2541é${index}`) }), 'PORTCULLIS_BLOCKED'],
  ]
  for (const [name, body, ours] of refused) t.ok(JSON.stringify(await send(body)).includes(`"code":"${ours}"`), name)
  t.equal(gateway.calls().length, before, 'the upstream was not contacted')
  t.match(await gateway.rows({ kind: 'refusal' }), refused.map(([,, code]) => ({ code, outcome: 'refused' })), 'each is on the record')
})
