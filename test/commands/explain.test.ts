import { join } from 'node:path'

import t from 'tap'
import type { Test } from 'tap'

import { explainCall, explainReplay } from '../../src/commands/explain.ts'
import type { ExplainOptions } from '../../src/commands/explain.ts'
import { loadConfig } from '../../src/config/config.ts'
import type { RoleSpec } from '../../src/config/config.ts'
import { startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

/** The roles of a file that somebody drafts. */
function draft (t: Test, roles: string): ReadonlyMap<string, RoleSpec> {
  const folder = t.testdir({ 'draft.yaml': `upstreams: { fixture: { command: x } }\nroles:\n${roles}` })
  return loadConfig({ PORTCULLIS_DATA: join(folder, 'data') }, { file: join(folder, 'draft.yaml') }).roles
}

async function replayed ({ database }: TestGateway, roles: ReadonlyMap<string, RoleSpec>, options: ExplainOptions = {}): Promise<string> {
  let text = ''
  await explainReplay({ database, roles, out: chunk => { text += chunk } }, '1h', options)
  return text
}

t.test('a draft is tried on what was really called, and nothing is called again', async t => {
  const gateway = await startGateway(t)
  const [alice, bob] = [await gateway.client('/mcp/fixture', await gateway.addUser('alice', ['user'])), await gateway.client('/mcp/fixture', await gateway.addUser('bob', ['user']))]
  for (const client of [alice, bob, alice]) await client.callTool({ name: 'echo', arguments: { text: client === bob ? '/tmp' : '/data/x' } })
  await alice.callTool({ name: 'add', arguments: { a: 1, b: 2 } })
  await t.rejects(alice.callTool({ name: 'secret', arguments: {} }))
  await gateway.rows()
  const before = gateway.calls().length

  const roles = draft(t, `  user:
    allow:
      - { tool: fixture/echo, where: 'args.text.startsWith("/data/")' }
      - fixture/secret
`)
  const { changes, calls } = JSON.parse(await replayed(gateway, roles, { json: true })) as { changes: object[], calls: number }
  t.equal(calls, 5)
  t.match(changes.map(change => JSON.stringify(change)).sort().join('\n'), /^.*"alice","target":"fixture\/add","change":"newly denied","calls":1,"before":"user:0 fixture\/\*","after":"default".*\n.*"alice","target":"fixture\/secret","change":"newly allowed".*\n.*"bob","target":"fixture\/echo","change":"newly denied".*$/)
  t.match(await replayed(gateway, roles), /^newly denied\nUSER +WHAT +CALLS[^]*bob +fixture\/echo +1[^]*newly allowed\n[^]*alice +fixture\/secret +1[^]*5 calls since .* were judged again\.\n$/)
  t.match(await replayed(gateway, draft(t, '  user: { allow: [fixture/*], deny: [fixture/secret] }\n')), /^5 calls since .* judged again: nothing would change\.\n$/)
  t.equal(gateway.calls().length, before)
})

t.test('where the record does not have the arguments that decide, it says so instead of guessing', async t => {
  const gateway = await startGateway(t)
  const client = await gateway.client('/mcp/fixture', await gateway.addUser('alice', ['user']))
  await client.callTool({ name: 'run', arguments: { command: 'x', password: 'hunter2' } })
  await gateway.rows()
  t.match(await replayed(gateway, draft(t, '  user: { allow: [{ tool: fixture/run, where: \'args.command == "y"\' }] }\n')), /^1 calls since [^]*Of 1 the arguments decide/)
})

t.test('explain names the rule, its line, and why the others did not count', async t => {
  const gateway = await startGateway(t)
  await gateway.addUser('alice', ['user'])
  const roles = draft(t, '  user:\n    allow: [{ tool: fixture/echo, where: args.text == "x" }]\n    deny: [fixture/secret]\n')
  const explained = async (target: string, options: ExplainOptions = {}): Promise<{ text: string, code: number }> => {
    let text = ''
    return { code: await explainCall({ database: gateway.database, roles, upstreams: new Map([['fixture', {}]]), out: chunk => { text += chunk } }, 'alice', target, options), text }
  }
  t.match(await explained('fixture/echo', { args: '{"text":"x"}' }), { code: 0, text: /^alice may use fixture\/echo: user:0 [^]*allow +user:0 .* 4 +the condition is true/ })
  t.match(await explained('fixture/echo', { args: '{"text":"z"}' }), { code: 1, text: /^alice may not use fixture\/echo: default[^]*the condition is false/ })
  t.match(await explained('fixture/secret', { json: true }), { code: 1, text: /"allowed":false/ })
  t.match(await explained('fixture/echo'), { code: 0, text: /^alice may use fixture\/echo with some arguments, which --args tells: user:0 / })
  t.notMatch((await explained('fixture/secret')).text, /with some arguments/, 'nothing helps where it is denied')
  t.match(await explained('fixtrue/echo'), { code: 1, text: /\nThere is no upstream "fixtrue" – did you mean "fixture"\?\n/ })
  t.notMatch((await explained('fixture/echo')).text, /no upstream/)
  await t.rejects(explained('echo'), /is not like files\/read_file/)
  await t.rejects(explained('fixture/echo', { args: '{' }), /--args is not JSON/)
})
