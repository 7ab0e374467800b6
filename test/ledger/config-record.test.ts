import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import t from 'tap'
import type { Test } from 'tap'

import { startGateway } from '../support/gateway.ts'
import { temporaryDirectory } from '../support/ledger.ts'
import { testDatabase } from '../support/postgres.ts'

/** Starts gateways one after the other on one database; each gives back what it recorded of its configuration. */
async function starter (t: Test): Promise<{ folder: string, start: (yaml: Record<string, unknown>, env?: Record<string, string>) => Promise<Record<string, unknown>> }> {
  const folder = temporaryDirectory(t)
  chmodSync(folder, 0o755)
  const database = await testDatabase(t)
  return {
    folder,
    start: async (yaml, env = {}) => {
      const gateway = await startGateway(t, { folder, database, yaml, env })
      const rows = await gateway.rows({ kind: 'config' })
      await gateway.gateway.close(0)
      return rows.at(-1) ?? {}
    },
  }
}

t.test('a start with another configuration records what it was before', async t => {
  const { start } = await starter(t)
  const first = await start({})
  t.match(first, { outcome: 'ok', policy: /^[0-9a-f]{12}$/, detail: { upstreams: ['fixture'], roles: { user: { allow: ['fixture/*'], deny: ['fixture/secret'] }, admin: { allow: ['*/*'] } }, audit: { durability: 'fsync' } } })
  t.notOk('before' in (first['detail'] as object), 'there was none before')
  const same = await start({})
  t.equal(same['policy'], first['policy'])
  t.notOk('before' in (same['detail'] as object))
  const other = await start({ roles: { user: { allow: [{ tool: 'fixture/echo', where: 'args.text == "hi"' }] } }, limits: [{ calls: 5, per: 'minute', by: ['user'], tool: 'fixture/*' }], audit: { arguments: 'digest' } })
  t.not(other['policy'], first['policy'])
  t.match(other, {
    detail: {
      roles: { user: { allow: ['fixture/echo where args.text == "hi"'] } },
      limits: [/on fixture\/\*$/],
      audit: { arguments: 'digest' },
      before: { policy: first['policy'], roles: { user: { allow: ['fixture/*'] } }, audit: { arguments: 'redacted' } },
    }
  })
  const third = await start({})
  const { before } = third['detail'] as { before: Record<string, unknown> }
  t.equal(before['policy'], other['policy'])
  t.notOk('before' in before, 'not the history of its history')
})

t.test('no secret of the configuration is in its record, nor in that of the next one', async t => {
  const { folder, start } = await starter(t)
  const secrets = ['sinkPassword7', 'hookPath7', 'queryKey7', 'tokenInFile7', 'anchorPassword7', 'headerValue7', 'environmentValue7', 'argumentValue7', 'fromEnvironment7']
  const [password, path, query, token, anchor, header, environment, argument, fromEnvironment] = secrets
  writeFileSync(join(folder, 'token'), `${token}\n`)
  const fixture = { command: [process.execPath, '-e', `process.exit() // ${argument}`], env: { KEY: environment, OTHER: '${env:GIVEN}' }, sandbox: 'none' } // eslint-disable-line no-template-curly-in-string
  const yaml = {
    upstreams: { fixture, remote: { url: 'https://mcp.example.com/mcp', headers: { 'x-api-key': header } } },
    audit: { anchor: `http://anchor:${anchor}@127.0.0.1:9/heads`, sinks: [{ url: `http://sink:${password}@127.0.0.1:9/${path}?key=${query}`, token_file: 'token' }] },
  }
  const record = await start(yaml, { GIVEN: String(fromEnvironment) })
  t.match(record, { detail: { upstreams: ['fixture', 'remote'], audit: { sinks: [{ to: 'http://127.0.0.1:9' }], anchor: 'http://127.0.0.1:9' } } })
  const next = await start({})
  t.match(next, { detail: { before: { audit: { anchor: 'http://127.0.0.1:9' } } } })
  for (const secret of secrets) t.notOk(JSON.stringify([record, next]).includes(secret), secret)
})
