import t from 'tap'
import { startGateway, until } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

const envelope = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } }

interface Reply { result: { resultType: string, requestState: string, inputRequests: Record<string, unknown>, content?: { text: string }[] } }

/** A call of a 2026-07-28 client whose upstream writes these lines; `$ID` stands for the id of the call. */
async function spout (gateway: TestGateway, token: string, lines: string[], { silent = false, ...more }: { silent?: boolean, [key: string]: unknown } = {}): Promise<Reply> {
  const response = await gateway.post('/mcp/fixture', token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'spout', arguments: { lines, silent }, ...more, _meta: envelope } }, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'spout' })
  return await response.json() as Reply
}

const ask = (id: unknown, method = 'elicitation/create', message = 'Colour?'): string => JSON.stringify({ jsonrpc: '2.0', id, method, params: { message, requestedSchema: { type: 'object', properties: { colour: { type: 'string' } } } } })
const cancelled = (requestId: unknown): string => JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } })
const answer = '{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"mine"}]}}'
/** What the child was answered under an id of its own. */
const answered = (gateway: TestGateway, id: unknown): unknown => gateway.calls().find((line) => (line as { id?: unknown }).id === id && line.method === undefined)

t.test('T35, T57: what a child asks, takes back, repeats or asks of nobody harms nobody', async (t) => {
  const gateway = await startGateway(t)
  const token = await gateway.addUser('alice', ['user'])

  await t.test('44: its ping is answered', async (t) => {
    await spout(gateway, token, ['{"jsonrpc":"2.0","id":"p","method":"ping"}'])
    await until(() => answered(gateway, 'p') !== undefined)
    t.match(answered(gateway, 'p'), { result: {} })
  })

  await t.test('67: a question outside of any call is refused', async (t) => {
    await spout(gateway, token, [answer, ask('late', 'roots/list'), ask('later')], { silent: true })
    await until(() => answered(gateway, 'later') !== undefined)
    t.match([answered(gateway, 'late'), answered(gateway, 'later')], [{ error: { code: -32601 } }, { error: { code: -32601 } }])
  })

  await t.test('68: a question that is taken back is not put to the client', async (t) => {
    t.match(await spout(gateway, token, [ask('back'), cancelled('back')]), { result: { resultType: 'complete', content: [{ text: 'spouted' }] } })
    t.equal(answered(gateway, 'back'), undefined)
  })

  await t.test('39, 40, 47: it takes back only what is its own, and answers only what it was asked', async (t) => {
    const lines = [cancelled('$ID').replace('"$ID"', '$ID'), cancelled(7), cancelled({}), answer.replace('$ID', '"$ID"'), answer, answer.replace('mine', 'again')]
    t.match(await spout(gateway, token, lines, { silent: true }), { result: { content: [{ text: 'mine' }] } })
    t.match(await spout(gateway, token, [answer.replace('mine', 'next')], { silent: true }), { result: { content: [{ text: 'next' }] } }, 'the repeated answer went to nobody')
  })

  await t.test('41: ids of its own that equal ours are kept apart by direction', async (t) => {
    const asked = await spout(gateway, token, [ask('$ID').replace('"$ID"', '$ID'), ask('$ID').replace('"$ID"', '$ID')], { silent: true })
    t.same(Object.keys(asked.result.inputRequests), ['ask-1'], 'and the same id twice is one question')
  })

  await t.test('47: a flood of questions is bounded', async (t) => {
    const asked = await spout(gateway, token, Array.from({ length: 200 }, (_, at) => ask(`flood ${at}`)), { silent: true })
    t.ok(Object.keys(asked.result.inputRequests).length <= 64)
    await until(() => answered(gateway, 'flood 199') !== undefined)
    t.match(answered(gateway, 'flood 199'), { error: { code: -32601 } })
  })

  t.match(await spout(gateway, token, []), { result: { content: [{ text: 'spouted' }] } }, 'and the child still serves')
})
