import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { openSession, read, rpc } from '../support/wire.ts'

t.test('a rule judges the arguments that the upstream gets, and no others', async (t) => {
  const allow = [{ prompt: 'fixture/greeting', where: 'args.who.startsWith("alice")' }, { resource: 'fixture/*', where: 'has(args.ticket)' }, 'fixture/echo']
  const gateway = await startGateway(t, { yaml: { roles: { user: { allow } } } })
  const token = await gateway.addUser('alice', ['user'])
  const session = await openSession(gateway, token)
  const complete = (value: unknown, more: object = {}): object => rpc('completion/complete', { ref: { type: 'ref/prompt', name: 'greeting' }, argument: { name: 'who', value }, ...more })
  t.match(await read(await gateway.post('/mcp/fixture', token, complete('alice b'), session)), { body: { result: { completion: { values: ['alice b!'] } } } }, 'what is asked for decides about a completion')
  const before = gateway.calls().length
  const own = { arguments: { who: 'alice', ticket: 1 }, context: { arguments: { who: 'alice' } } }
  const template = { ref: { type: 'ref/resource', uri: 'memo://note/{id}' }, argument: { name: 'ticket', value: '1' } }
  for (const message of [complete('mallory', own), rpc('resources/read', { uri: 'memo://one', ...own }), rpc('resources/subscribe', { uri: 'memo://one', ...own }), rpc('completion/complete', { ...template, ...own })]) {
    t.match((await read(await gateway.post('/mcp/fixture', token, message, session))).body, { error: { data: { code: 'PORTCULLIS_UNKNOWN_TARGET' } } }, JSON.stringify(message))
  }
  t.match((await read(await gateway.post('/mcp/fixture', token, complete(['mallory'], own), session))).body, { error: { data: { code: 'PORTCULLIS_INVALID_PARAMS' } } }, 'an argument of a completion is a name and a text')
  t.equal(gateway.calls().length, before, 'the upstream hears of none')
})
