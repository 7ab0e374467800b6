/* eslint-disable no-template-curly-in-string -- "${…}" is the syntax of references */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { Ajv } from 'ajv'
import { test } from 'tap'
import { parse } from 'yaml'

import { ConfigError, loadConfig } from '../../src/config/config.ts'
import { variables } from '../../src/config/environment.ts'
import { resolveReferences } from '../../src/config/references.ts'
import { defaults, editorSchema } from '../../src/config/schema.ts'
import { openSecrets } from '../../src/config/secrets.ts'
import type { Config } from '../../src/config/config.ts'
import type { Test } from 'tap'

const root = resolve(import.meta.dirname ?? '.', '../..')
const one = 'upstreams: { a: { command: server } }\n'

function load (t: Test, text: string, env: NodeJS.ProcessEnv = {}, flags: { allowUnsandboxed?: boolean } = {}): Config {
  const directory = t.testdir({ 'upstreams.yaml': text })
  return loadConfig({ PORTCULLIS_CONFIG: join(directory, 'upstreams.yaml'), ...env }, flags)
}

function mistakes (action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return ''
}

test('programs of upstreams are looked up on the absolute parts of PATH', async (t) => {
  t.equal(load(t, one, { PATH: '/opt/x/bin:bin::/usr/bin' }).path, '/opt/x/bin:/usr/bin')
  t.equal(load(t, one, {}).path, undefined)
})

test('one upstream is a whole configuration: everything else has a default', async (t) => {
  const config = load(t, one)
  t.match(config, {
    directory: t.testdirName,
    data: join(t.testdirName, '.portcullis'),
    server: { host: '127.0.0.1', port: 8080, publicUrl: 'http://127.0.0.1:8080', hosts: [], origins: [], maxBody: 4194304 },
    metrics: { host: '127.0.0.1', port: 9464 },
    databaseUrl: undefined,
    redisUrl: undefined,
    adminPassword: undefined,
    logLevel: 'info',
    allowUnsandboxed: false,
    limits: [{ calls: 60, per: 3600000, by: ['user', 'tool'], name: '60 per hour by user, tool' }],
    instances: { total: 500, perUpstream: 500, perUser: 64 },
    health: { every: 30_000, probe: true, required: [] },
    packages: { npm: undefined, pypi: undefined, hosts: [], private: [] },
    audit: { arguments: 'redacted', durability: 'fsync', onFailure: { allow: [] }, redact: [], payloads: [], sinks: [], maxOutage: 5000, spoolMax: 268435456, checkpointEvery: 60_000, anchor: undefined },
  })
  t.same(config.upstreams.get('a'), {
    name: 'a',
    command: ['server'],
    env: {},
    cwd: undefined,
    isolation: 'user',
    asks: ['elicitation'],
    takesTurns: false,
    remote: undefined,
    sandbox: { mode: 'bubblewrap', read: [], write: [], network: 'none', memory: 536870912, processes: 64, fileSize: 268435456, openFiles: 1024, tmp: 67108864, nice: 0 },
    timeouts: { start: 30000, call: 60000, idle: 600000 },
  })
  t.same([...config.roles.values()], [{ name: 'admin', allow: [{ pattern: '*/*', line: 0 }], deny: [] }, { name: 'user', allow: [], deny: [] }])
  t.same(config.guards.deny.map(({ name }) => name), ['destructive-command', 'path-traversal', 'metadata-address'])
  t.match(config.guards, { maxArguments: 1048576, maxResult: 16777216 })
  t.match(config.version, /^[0-9a-f]{12}$/)
})

test('every key of the file arrives where it belongs', async (t) => {
  const config = load(t, `
upstreams:
  files:
    command: [./bin/server, --root, /data]
    args: [--quiet]
    type: stdio
    env: { MODE: "\${env:MODE}", TOKEN: "\${secret:files}", WHO: "\${user.name}" }
    cwd: /data
    isolation: session
    asks: [sampling, roots]
    sandbox: { read: [./docs:/docs, /srv/more], write: [/srv/files:/data/], network: none, memory: 1GiB, processes: 8, file_size: 64KiB, open_files: 64, tmp: 1048576, nice: 7, mode: bubblewrap }
    timeouts: { start: 5s, call: 500ms, idle: 1h }
roles:
  user:
    allow:
      - files/read_*
      - { tool: files/write, where: args.path.startsWith("/" + principal.name) }
    deny: [{ resource: "files/file:///(x)" }, { prompt: "*/x" }]
  guest: {}
limits:
  - { calls: 5, per: minute }
  - { tool: files/write_*, calls: 9, per: 30s, by: [user, address] }
guards: { defaults: false, deny: [{ name: n, pattern: '\\bx\\b', tool: files/* }], max_arguments: 2KiB, max_result: 3KiB }
audit: { arguments: digest, durability: os, on_failure: { allow: [files/read_*] }, redact: [pin, $.customer.email], payloads: [{ tool: files/*, keep: full, max: 1KiB }], sinks: [{ url: "https://siem.example.com/in", format: ocsf, token_file: siem.token, max_lag: 1h, on_lag: deny }], max_outage: 1m, spool_max: 1GiB, checkpoint_every: 5m, anchor: "https://anchor.example.com/heads" }
server: { hosts: [MCP.example.com, "b.example:8443"], origins: [https://app.example.com], max_body: 1MiB }
`, { MODE: 'fast' })
  t.same(config.upstreams.get('files'), {
    name: 'files',
    command: ['./bin/server', '--root', '/data', '--quiet'],
    env: { MODE: 'fast', TOKEN: '${secret:files}', WHO: '${user.name}' },
    cwd: '/data',
    isolation: 'session',
    asks: ['sampling', 'roots'],
    takesTurns: true,
    remote: undefined,
    sandbox: {
      mode: 'bubblewrap',
      read: [{ source: join(t.testdirName, 'docs'), target: '/docs' }, { source: '/srv/more', target: '/srv/more' }],
      write: [{ source: '/srv/files', target: '/data' }],
      network: 'none',
      memory: 1073741824,
      processes: 8,
      fileSize: 65536,
      openFiles: 64,
      tmp: 1048576,
      nice: 7,
    },
    timeouts: { start: 5000, call: 500, idle: 3600000 },
  })
  t.same([...config.roles.keys()], ['admin', 'user', 'guest'])
  t.same(config.roles.get('admin'), { name: 'admin', allow: [], deny: [] }, 'a section that leaves a built-in role out gives it no rules')
  t.same(config.roles.get('user'), {
    name: 'user',
    allow: [{ pattern: 'files/read_*', line: 16 }, { kind: 'tool', pattern: 'files/write', where: 'args.path.startsWith("/" + principal.name)', line: 17 }],
    deny: [{ kind: 'resource', pattern: 'files/file:///(x)', line: 18 }, { kind: 'prompt', pattern: '*/x', line: 18 }],
  })
  t.same(config.limits, [
    { calls: 5, per: 60000, by: ['user'], line: 21, name: '5 per minute by user' },
    { calls: 9, per: 30000, by: ['user', 'address'], tool: 'files/write_*', line: 22, name: '9 per 30s by user, address on files/write_*' },
  ])
  t.same(config.guards, { deny: [{ name: 'n', pattern: '\\bx\\b', in: 'arguments', tool: 'files/*', line: 23 }], maxArguments: 2048, maxResult: 3072 })
  t.same(config.audit, { arguments: 'digest', durability: 'os', onFailure: { allow: ['files/read_*'] }, redact: ['pin', '$.customer.email'], payloads: [{ keep: 'full', tool: 'files/*', max: 1024 }], sinks: [{ url: 'https://siem.example.com/in', format: 'ocsf', tokenFile: join(t.testdirName, 'siem.token'), maxLag: 3_600_000, onLag: 'deny' }], maxOutage: 60000, spoolMax: 1073741824, checkpointEvery: 300_000, anchor: 'https://anchor.example.com/heads' })
  t.match(config.server, { hosts: ['mcp.example.com', 'b.example:8443'], origins: ['https://app.example.com'], maxBody: 1048576 })
})

test('a remote server arrives with its headers and grants', async (t) => {
  const config = load(t, 'upstreams: { a: { url: https://mcp.example.com/mcp, headers: { Authorization: "Bearer ${secret:x}" }, private: [10.0.0.0/8], type: http } }')
  t.match(config.upstreams.get('a'), { command: [], remote: { url: 'https://mcp.example.com/mcp', headers: { authorization: 'Bearer ${secret:x}' }, private: ['10.0.0.0/8'] } })
})

test('the environment decides where the gateway lives, and mistakes in it are told together', async (t) => {
  const config = load(t, one, {
    HOST: '0.0.0.0', PORT: '0', PUBLIC_URL: 'https://mcp.example.com/', DATABASE_URL: 'postgres://u:p@h/d', REDIS_URL: 'rediss://h', LOG_LEVEL: 'debug', METRICS_HOST: '::1', METRICS_PORT: '1', PORTCULLIS_DATA: '/srv/portcullis', PORTCULLIS_ADMIN_PASSWORD: 'x',
  })
  t.match(config, { server: { host: '0.0.0.0', port: 0, publicUrl: 'https://mcp.example.com' }, databaseUrl: 'postgres://u:p@h/d', redisUrl: 'rediss://h', logLevel: 'debug', metrics: { host: '::1', port: 1 }, data: '/srv/portcullis', adminPassword: 'x' })
  t.equal(load(t, one, { HOST: '::' }).server.publicUrl, 'http://localhost:8080', 'a wildcard address is nothing a client can use')
  t.equal(load(t, one, { HOST: '::1' }).server.publicUrl, 'http://[::1]:8080')
  t.match(load(t, one, { PORT: '', DATABASE_URL: '', PORTCULLIS_ADMIN_PASSWORD: '' }), { server: { port: 8080 }, databaseUrl: undefined, adminPassword: undefined }, 'empty is absent')

  const message = mistakes(() => load(t, one, { HOST: 'http://x', PORT: '99999', METRICS_PORT: '-1', PUBLIC_URL: 'https://x/path', DATABASE_URL: 'mysql://user:hunter2@h', REDIS_URL: 'hunter3', LOG_LEVEL: 'wran' }))
  t.match(message, 'environment HOST: must be an address or a name of this machine to listen on, such as 127.0.0.1, 0.0.0.0 or localhost, got "http://x"')
  for (const HOST of ['999.1.1.1', '1.2.3.4.5', 'host.0x']) t.match(mistakes(() => load(t, one, { HOST })), `environment HOST: must be an address or a name of this machine to listen on, such as 127.0.0.1, 0.0.0.0 or localhost, got "${HOST}"`)
  for (const HOST of ['localhost', 'gateway-1.example', '127.0.0.2']) t.equal(load(t, one, { HOST }).server.host, HOST)
  t.match(message, 'environment PORT: must be a port from 0 to 65535, got "99999"')
  t.match(message, 'environment METRICS_PORT: must be a port')
  t.match(message, 'environment PUBLIC_URL: must have no path, query or password: https://x')
  t.match(message, 'environment DATABASE_URL: must be an address such as postgres://')
  t.match(message, 'environment REDIS_URL: must be an address such as redis://')
  t.match(message, 'environment LOG_LEVEL: must be one of fatal, error, warn, info, debug, trace, silent, got "wran" – did you mean "warn"?')
  t.notMatch(message, /hunter/, 'a password is not repeated')
  t.match(mistakes(() => load(t, one, { PUBLIC_URL: 'x' })), 'environment PUBLIC_URL: must be the address clients use')
  t.match(mistakes(() => load(t, one, { PORT: '9464' })), 'environment METRICS_PORT: must differ from PORT')
  t.match(mistakes(() => load(t, 'upstreams: [', { PORT: 'x' })), /upstreams\.yaml:[\s\S]*environment PORT|environment PORT[\s\S]*upstreams\.yaml:/, 'also beside a file that cannot be parsed')
  t.match(mistakes(() => loadConfig({ PORTCULLIS_CONFIG: '/nowhere/u.yaml', PORT: 'x' })), 'environment PORT', 'and beside one that does not exist')
})

test('a configuration cannot be changed, and its version changes with every byte of the file', async (t) => {
  const config = load(t, one)
  t.throws(() => { Object.assign(config, { data: '/' }) }, TypeError)
  t.throws(() => { Object.assign(config.upstreams.get('a') ?? {}, { isolation: 'shared' }) }, TypeError)
  t.throws(() => { Object.assign(config.upstreams.get('a')?.sandbox ?? {}, { mode: 'none' }) }, TypeError)
  t.throws(() => { (config.roles as Map<string, unknown>).set('root', {}) }, /frozen/)
  t.throws(() => { (config.roles as Map<string, unknown>).delete('admin') }, /frozen/)
  t.throws(() => { (config.guards.deny as unknown[]).pop() }, TypeError)
  t.not(load(t, `${one}# more\n`).version, config.version)
  t.equal(load(t, one).version, config.version)
})

test('an upstream without a sandbox needs the word of the operator', async (t) => {
  for (const text of ['none', '{ mode: none }']) {
    const file = `upstreams:\n  a: { command: x, sandbox: ${text} }\n`
    t.match(mistakes(() => load(t, file)), /upstreams\.yaml:2:\d+ upstreams\.a\.sandbox(\.mode)?: ".*none" is refused: start the gateway with --allow-unsandboxed/)
    t.equal(load(t, file, {}, { allowUnsandboxed: true }).upstreams.get('a')?.sandbox.mode, 'none')
  }
  t.match(mistakes(() => load(t, 'upstreams: { a: { command: x, sandbox: { mode: none, read: [/srv/x] } } }', {}, { allowUnsandboxed: true })), '"mode: none" makes read meaningless')
})

test('references to the environment are resolved once, at load, and a value never becomes a reference', async (t) => {
  const config = load(t, `
upstreams:
  a:
    command: server "\${env:ONE}" --x=\${secret:s} $\${plain} '\${user.id}'
    env: { A: "\${env:SNEAKY}", B: "\${env:ONE}-\${env:ONE}", C: "$\${env:ONE}" }
    sandbox: { read: ["\${env:DIR}/docs:/docs"] }
`, { ONE: 'one two', SNEAKY: '${secret:other} $${x}', DIR: '/srv' })
  const a = config.upstreams.get('a')
  const ctx = { user: { id: 'u-1', name: 'alice' }, secret: (name: string) => name === 's' ? '${user.name} $HOME' : undefined }
  const final = (text: string) => resolveReferences(text, ctx)
  t.same(a?.command.map(final), ['server', 'one two', '--x=${user.name} $HOME', '${plain}', 'u-1'], 'values are neither split nor read again')
  t.same(Object.values(a?.env ?? {}).map(final), ['${secret:other} $${x}', 'one two-one two', '${env:ONE}'])
  t.same(a?.sandbox.read, [{ source: '/srv/docs', target: '/docs' }])

  t.throws(() => resolveReferences('${secret:gone}', ctx), { code: 'PORTCULLIS_UPSTREAM_UNAVAILABLE', message: /needs the secret "gone"/ })
  for (const name of ['../root', '..', '-rf', 'a/b', 'a\0', '', 'a\nb']) {
    t.throws(() => resolveReferences('/home/${user.name}', { ...ctx, user: { id: '1', name } }), { code: 'PORTCULLIS_UPSTREAM_UNAVAILABLE' }, JSON.stringify(name))
  }
  t.equal(resolveReferences('/home/${user.name}', { ...ctx, user: { id: '1', name: 'Zoë.M@x-1' } }), '/home/Zoë.M@x-1')
})

test('secrets are files: the user\'s own before the common one, and no name leads out of the directory', async (t) => {
  const data = t.testdir({ secrets: { github: 'common\n', crlf: 'x\r\n', two: 'a\n\n', users: { alice: { github: 'of alice' } } }, outside: 'outside' })
  const secrets = openSecrets(data)
  t.equal(secrets('github', 'alice'), 'of alice')
  t.equal(secrets('github', 'bob'), 'common')
  t.equal(secrets('github'), 'common')
  t.equal(secrets('crlf'), 'x')
  t.equal(secrets('two'), 'a\n', 'only one line break is dropped')
  t.equal(secrets('users'), undefined, 'a directory is no secret')
  for (const name of ['../outside', '..', '.', '', 'users/alice/github', '/etc/passwd', 'github\0', '.hidden']) t.equal(secrets(name), undefined, JSON.stringify(name))
  for (const user of ['..', '../..', 'alice/../bob', '', '.', 'a\0']) t.equal(secrets('github', user), 'common', `user ${JSON.stringify(user)} has none of its own`)
  writeFileSync(join(data, 'secrets', 'github'), 'rotated')
  t.equal(secrets('github'), 'rotated', 'a changed file counts at once')
  mkdirSync(join(data, 'secrets', 'users', 'carol'))
  symlinkSync('github', join(data, 'secrets', 'users', 'carol', 'github'))
  t.throws(() => secrets('github', 'carol'), /cannot be read \(ELOOP\)/, 'a file that cannot be read is not replaced by the common secret')
})

test('the file is found: by the flag, by the variable, or here', async (t) => {
  const directory = t.testdir({ 'a.yaml': one, 'b.yaml': one.replace(' a:', ' b:') })
  const env = { PORTCULLIS_CONFIG: join(directory, 'a.yaml') }
  t.same([...loadConfig(env).upstreams.keys()], ['a'])
  t.same([...loadConfig(env, { file: join(directory, 'b.yaml') }).upstreams.keys()], ['b'])
  t.same([...loadConfig({}, { file: 'upstreams.yaml' }).upstreams.keys()], ['everything'], 'the shipped example')
})

test('the schema for editors is the one the validator uses, and its defaults are the real ones', async (t) => {
  execFileSync(process.execPath, ['scripts/schema.mjs', '--check'], { cwd: root })
  const schema = JSON.parse(readFileSync(join(root, 'schema/upstreams.schema.json'), 'utf8')) as object
  t.same(schema, JSON.parse(JSON.stringify(editorSchema())))
  const valid = new Ajv().compile(schema)
  t.ok(valid(parse(readFileSync(join(root, 'upstreams.yaml'), 'utf8'))))
  t.notOk(valid({ upstreams: { a: { command: 'x', timeot: 1 } } }))
  const spelled = load(t, `
upstreams: { a: { command: server, isolation: ${defaults.isolation}, timeouts: ${JSON.stringify(defaults.timeouts)}, sandbox: ${JSON.stringify(defaults.sandbox)} } }
guards: ${JSON.stringify({ defaults: true, ...defaults.guards })}
audit: ${JSON.stringify(defaults.audit)}
server: ${JSON.stringify(defaults.server)}
limits: [{ calls: 60, per: hour, by: [user, tool] }]
`)
  const silent = load(t, one)
  for (const key of ['upstreams', 'guards', 'audit', 'server'] as const) t.same(spelled[key], silent[key], key)
})

test('the manual names every key of the file and every variable', async (t) => {
  const manual = readFileSync(join(root, 'docs/configuration.md'), 'utf8')
  const keys = [...keysOf(editorSchema())]
  t.ok(keys.length > 40)
  for (const key of keys) t.ok(manual.includes(`| \`${key}\``) || manual.includes(`## \`${key}\``), key)
  const example = readFileSync(join(root, '.env.example'), 'utf8')
  for (const name of variables) t.ok(manual.includes(`| \`${name}\``) && example.includes(`#${name}=`), name)
})

test('every example of the manual is a valid part of a configuration', async (t) => {
  const manual = readFileSync(join(root, 'docs/configuration.md'), 'utf8')
  const examples = [...manual.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '').filter((text) => !text.startsWith('#'))
  t.ok(examples.length >= 6)
  const extra = ['files', 'tickets', 'git'].map((name) => `  ${name}: { command: x }`).join('\n')
  for (const example of examples) {
    const text = example.startsWith('upstreams:') ? example : `upstreams:\n${extra}\n${example}`
    t.equal(mistakes(() => load(t, text)), '', example.split('\n', 1).join())
  }
})

function * keysOf (schema: unknown): Generator<string> {
  if (Array.isArray(schema)) for (const branch of schema) yield * keysOf(branch)
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return
  for (const [name, value] of Object.entries(schema)) {
    if (name === 'properties') yield * Object.keys(value as object)
    if (name !== 'default') yield * keysOf(value)
  }
}
