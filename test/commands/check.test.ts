import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { check } from '../../src/commands/check.ts'
import type { CheckOptions } from '../../src/commands/check.ts'
import type { Test } from 'tap'

async function run (t: Test, files: Parameters<Test['testdir']>[0], options: Partial<CheckOptions> = {}): Promise<{ code: number, text: string }> {
  const directory = files === undefined ? '' : t.testdir(files)
  let text = ''
  const file = files === undefined ? undefined : join(directory, 'upstreams.yaml')
  const code = await check({ env: {}, file, out: (part) => { text += part }, ...options })
  return { code, text }
}

test('the shipped example is fine and is summed up', async (t) => {
  const { code, text } = await run(t, undefined, { file: 'upstreams.yaml' })
  t.equal(code, 0)
  t.match(text, /upstreams\.yaml is fine \(version [0-9a-f]{12}\)/)
  t.match(text, /upstreams +everything \(user, bubblewrap\)/)
  t.match(text, /roles +admin \(1 allow, 0 deny\), user \(\d allow, 0 deny\)/)
  t.match(text, /limits +60 per hour by user, tool/)
  t.match(text, /durability fsync/)
  t.notMatch(text, 'warning')
})

test('every mistake is told with file, line and column, and the exit code is 1', async (t) => {
  const { code, text } = await run(t, { 'upstreams.yaml': 'upstreams:\n  github:\n    command: x\n    timeot: 1\n  b: { command: y, isolation: usr }\n' }, { env: { PORT: 'http' } })
  t.equal(code, 1)
  t.same(text.trimEnd().split('\n').map((line) => line.replace(/^\S*\/(?=upstreams)/, '')), [
    'environment PORT: must be a port from 0 to 65535, got "http"',
    'upstreams.yaml:4:5 upstreams.github: unknown key "timeot" – did you mean "timeouts"?',
    'upstreams.yaml:5:31 upstreams.b.isolation: must be one of user, session, shared, got "usr" – did you mean "user"?',
    '3 problems: nothing would start.',
  ])
})

test('a missing file says where it was looked for and what a first one looks like', async (t) => {
  const { code, text } = await run(t, {}, {})
  t.equal(code, 1)
  t.match(text, `does not exist. Looked for ${join(t.testdirName, 'upstreams.yaml')}; PORTCULLIS_CONFIG or --config names another file`)
  const example = text.slice(text.indexOf('\n') + 1, text.lastIndexOf('1 problem')).replace(/^ {2}/gm, '')
  t.match(await run(t, { 'upstreams.yaml': example }), { code: 0 }, 'the example of the message works')
  t.match(await run(t, {}, { file: t.testdirName }), { code: 1, text: /is a directory: name the file in it/ })
})

test('what works but was probably not meant is a warning', async (t) => {
  const { code, text } = await run(t, {
    'upstreams.yaml': `
upstreams:
  a:
    command: npx -y tickets-mcp@latest
    env: { A: "\${secret:gone}", B: "\${secret:here}", C: "\${secret:own}" }
    cwd: /srv/elsewhere
    sandbox: { write: [./shared] }
  b: { command: cat, sandbox: { read: [./gone], write: [./shared/sub] } }
roles: { user: {}, admin: { allow: ["*/*"] } }
limits: []
`,
    '.portcullis': { secrets: { here: 'x', users: { alice: { own: 'y' } } } },
    shared: { sub: {} },
  }, { env: { PORTCULLIS_DATE: 'x' } })
  t.equal(code, 0)
  for (const expected of [
    /upstreams\.a\.command: the version of tickets-mcp@latest is not pinned: write tickets-mcp@1\.2\.3/,
    /upstreams\.a\.env\.A: the secret "gone" does not exist: put it into \S+\/\.portcullis\/secrets\/gone or \/run\/secrets\/gone/,
    /upstreams\.a\.env\.C: the secret "own" exists for 1 user only/,
    /upstreams\.a\.cwd: "\/srv\/elsewhere" is not visible inside the sandbox/,
    /upstreams\.b\.sandbox\.read\[0\]: "\S+\/gone" does not exist/,
    /upstreams\.b\.sandbox\.write\[0\]: the upstream "a" may write there too/,
    /roles\.user: the role "user" allows nothing/,
    /limits: there are no limits at all/,
    /environment PORTCULLIS_DATE: is not a variable Portcullis knows – did you mean "PORTCULLIS_DATA"\?/,
    /environment PORTCULLIS_DATA: other people on this machine can read \S+secrets: run chmod/,
  ]) t.match(text, expected)
  t.notMatch(text, /secret "here"/)
  t.equal(text.split('\n').filter((line) => line.startsWith('warning: ')).length, 10)
  chmodSync(join(t.testdirName, '.portcullis/secrets'), 0o700)
  let again = ''
  await check({ env: {}, file: join(t.testdirName, 'upstreams.yaml'), out: (part) => { again += part } })
  t.notMatch(again, 'other people')
})

test('--json is one object, with the same problems and warnings', async (t) => {
  const bad = await run(t, { 'upstreams.yaml': 'upstreams: { a: { command: x }, B: {} }\n' }, { json: true })
  t.equal(bad.code, 1)
  t.match(JSON.parse(bad.text), { ok: false, problems: [{ file: join(t.testdirName, 'upstreams.yaml'), line: 1, column: 33, path: 'upstreams', message: /"B" is not an upstream name/ }], warnings: [] })
  const good = await run(t, { 'upstreams.yaml': 'upstreams: { a: { command: x, sandbox: none } }\n' }, { json: true, allowUnsandboxed: true, env: { DATABASE_URL: 'postgres://u:hunter2@h/d' } })
  t.equal(good.code, 0)
  t.match(JSON.parse(good.text), { ok: true, database: 'DATABASE_URL', upstreams: [{ name: 'a', isolation: 'user', sandbox: 'none' }], limits: ['60 per hour by user, tool'], audit: { durability: 'fsync' }, problems: [], warnings: [{ path: 'roles.user' }, { path: 'upstreams.a.sandbox', message: /runs without a sandbox/ }] })
  t.notMatch(good.text, 'hunter2')
})

test('a program or a package that is not on this machine is a warning, since the gateway may run on another', async (t) => {
  const { code, text } = await run(t, {
    'upstreams.yaml': `
upstreams:
  none: { command: npx }
  gone: { command: no-such-program --port 1 }
  lost: { command: ./bin/gone }
  here: { command: ./bin/here }
  usual: { command: sh -c "exec cat" }
  image: { command: no-such-program, sandbox: { mode: docker, image: "example/image:1" } }
  away: { url: https://mcp.example.com/mcp }
`,
    bin: { here: '' },
  }, { env: { PATH: '/usr/bin:/bin' } })
  t.equal(code, 0)
  const warnings = text.split('\n').filter((line) => /^warning: (none|gone|lost|here|usual|image|away) /.test(line))
  t.match(warnings, [
    /^warning: none will be refused: npx names no package\. Write npx -y <package> <arguments>\.$/,
    /^warning: gone would not start on this machine: The program "no-such-program" was not found on the gateway's PATH\. Install it, or write its absolute path\.$/,
    /^warning: lost would not start on this machine: There is no executable file at \S+\/bin\/gone\.$/,
    /^warning: here would not start on this machine: There is no executable file at \S+\/bin\/here\.$/,
  ])
  t.equal(warnings.length, 4)
  chmodSync(join(t.testdirName, 'bin/here'), 0o755)
  let again = ''
  await check({ env: { PATH: '/usr/bin:/bin' }, file: join(t.testdirName, 'upstreams.yaml'), json: true, out: (part) => { again += part } })
  t.match((JSON.parse(again) as { absent: string[] }).absent.map((line) => line.split(' ')[0]), ['gone', 'lost'])
})

test('a package that lies in node_modules runs as it is, and needs no version', async (t) => {
  const installed = { 'package.json': JSON.stringify({ name: 'tickets-mcp', version: '2.0.1', bin: 'cli.js' }), 'cli.js': '' }
  const { text } = await run(t, { 'upstreams.yaml': 'upstreams: { a: { command: npx -y tickets-mcp }, b: { command: npx -y orders-mcp }, c: { command: npx -y tickets-mcp@3 } }\n', node_modules: { 'tickets-mcp': installed } })
  t.notMatch(text, /upstreams\.a\.command/)
  t.match(text, /upstreams\.b\.command: the version of orders-mcp is not pinned: write orders-mcp@1\.2\.3/)
  t.match(text, /upstreams\.c\.command: the version of tickets-mcp@3 is not pinned/, 'another version than the one that is installed')
})
