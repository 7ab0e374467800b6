import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

import { Option } from 'commander'
import t from 'tap'
import { stringify } from 'yaml'

import { catalogue } from '../../src/commands/catalogue.ts'
import { testDatabase } from '../support/postgres.ts'

const cli = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url))

t.test('what is wrong with a command line ends every command with exit code 2, and what could not be done with 1', async (t) => {
  const { url } = await testDatabase(t)
  const folder = t.testdir({ 'upstreams.yaml': stringify({ upstreams: { echo: { command: 'node server.js' } }, roles: { admin: { allow: ['*/*'] } } }) })
  const nobody = '7a7a7a7a-0000-4000-8000-000000000001'
  const cases: readonly (readonly [command: readonly string[], code: number, says: RegExp])[] = [
    [['audti'], 2, /unknown command/],
    [['serve', '--prot', '1'], 2, /unknown option/],
    [['audit', 'show'], 2, /missing required argument/],
    [['audit', 'verify-proof', 'proof.json'], 2, /required option '--key <file>' not specified/],
    [['audit', 'search', '--since', 'yesterday'], 2, /--since "yesterday"/],
    [['audit', 'tail', '-n', '0'], 2, /--lines "0" is not a number/],
    [['audit', 'export', '--format', 'xml'], 2, /--format "xml" is not one of/],
    [['audit', 'forget', nobody], 2, /Say --yes/],
    [['explain'], 2, /Say whom and what/],
    [['connect', 'codex', '--url', 'mcp.example.com'], 2, /is not an address/],
    [['check', '--config', 'gone.yaml'], 1, /does not exist/],
    [['audit', 'show', 'gone'], 1, /There is no record gone/],
  ]
  for (const [command, code, says] of cases) {
    const child = spawn(process.execPath, [cli, ...command], { cwd: folder, env: { PATH: process.env['PATH'], DATABASE_URL: url }, stdio: ['ignore', 'pipe', 'pipe'] })
    const [out, complaint, [ended]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    t.equal(ended, code, command.join(' '))
    t.match(out + complaint, says)
  }
})

t.test('the help of `user add` says which roles a user gets unasked', async (t) => {
  const child = spawn(process.execPath, [cli, 'user', 'add', '--help'], { env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.match((await text(child.stdout)).replaceAll(/\s+/g, ' '), '--role <role> give a role (repeatable; without it user, where the configuration has that role, else none)')
})

t.test('each command of the catalogue is the one of its name, is listed with what it is for, and has its help', async (t) => {
  const list = (await printed('--help')).replace(/\s+/g, ' ')
  for (const [name, { summary, load }] of Object.entries(catalogue)) {
    const command = (await load())({ env: {}, out: () => {}, configOption: () => new Option('-c, --config <file>') })
    t.equal(command.name(), name)
    t.match(list, `${name} ${summary}`)
  }
  t.match(await printed('help', 'user'), /^Usage: portcullis user[^]*who may log in[^]*add \[options\] <name>/)
})

async function printed (...command: string[]): Promise<string> {
  const child = spawn(process.execPath, [cli, ...command], { env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'pipe', 'inherit'] })
  return await text(child.stdout)
}
