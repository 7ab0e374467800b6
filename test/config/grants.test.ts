/* eslint-disable no-template-curly-in-string -- "${…}" is the syntax of references */
import { mkdirSync, symlinkSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'

import { splitCommand } from '../../src/config/command.ts'
import { ConfigError, loadConfig } from '../../src/config/config.ts'
import { collision, sourceProblem, targetProblem } from '../../src/config/grants.ts'
import type { Test } from 'tap'

const context = { protect: ['/srv/gateway/.portcullis', '/srv/gateway/upstreams.yaml'], code: ['/opt/portcullis/src'], homes: ['/var/lib/portcullis', '/root'] }

test('what belongs to the system, to a person or to the gateway is never granted', async (t) => {
  const never: Readonly<Record<string, RegExp>> = {
    '/': /whole file system/,
    '/proc': /kernel/,
    '/proc/self': /kernel/,
    '/sys/fs': /kernel/,
    '/dev': /kernel/,
    '/run/user/1000': /running services/,
    '/var/run': /running services/,
    '/etc': /accounts/,
    '/etc/ssl': /accounts/,
    '/boot': /operating system/,
    '/var/lib/docker': /container runtime/,
    '/srv/app/docker.sock': /socket/,
    '/home': /shared by everything/,
    '/home/alice': /home directory/,
    '/home/alice/': /home directory/,
    '/home/alice/x/..': /home directory/,
    '/Users/alice': /home directory/,
    '/root': /home directory/,
    '/var/lib/portcullis': /home directory/,
    '/home/alice/.ssh': /credentials/,
    '/home/alice/.aws/credentials': /credentials/,
    '/srv/keys/.gnupg': /credentials/,
    '/home/alice/.config': /settings/,
    '/home/alice/.config/gh': /settings/,
    '/root/.bashrc': /settings/,
    '/var/lib/portcullis/.cache/x': /settings/,
    '/tmp': /shared by everything/,
    '/var': /home directory|shared/,
    '/srv/gateway': /contains files of the gateway/,
    '/srv': /contains files of the gateway/,
    '/srv/gateway/.portcullis': /contains files of the gateway/,
    '/srv/gateway/.portcullis/secrets': /belongs to the gateway/,
    '/srv/gateway/upstreams.yaml': /contains files of the gateway/,
  }
  for (const [path, reason] of Object.entries(never)) {
    for (const access of ['read', 'write'] as const) t.match(sourceProblem(path, access, context) ?? 'granted', reason, `${access} ${path}`)
  }
  for (const path of ['/usr', '/usr/local/bin', '/lib64', '/bin', '/srv/app/node_modules/x', '/opt/portcullis/src', '/opt/portcullis']) {
    t.ok(sourceProblem(path, 'write', context), `write ${path}`)
    t.equal(sourceProblem(path, 'read', context), undefined, `read ${path}`)
  }
  for (const path of ['/srv/files', '/srv/gateway/docs', '/srv/gateway2', '/home/alice/projects', '/tmp/x', '/data', '/etcetera', '/srv/.configuration', '/srv/app/.config', '/mnt/share', '/procs']) {
    for (const access of ['read', 'write'] as const) t.equal(sourceProblem(path, access, context), undefined, `${access} ${path}`)
  }
})

test('a target lies where it can replace nothing, and never below a writable one', async (t) => {
  for (const target of ['relative', '', '/', '/proc', '/proc/x', '/usr/lib', '/etc', '/run/x', '/lib64', '/a/../b', '/a//b', '/a/./b']) t.ok(targetProblem(target), target)
  for (const target of ['/data', '/data/', '/home/mcp/x', '/srv/a', '/usrlocal', '/tmp/x']) t.equal(targetProblem(target), undefined, target)
  t.match(collision('/data', [{ target: '/data', access: 'read' }]), /granted twice/)
  t.match(collision('/data/sub', [{ target: '/data', access: 'write' }]), /below the writable "\/data"/)
  t.equal(collision('/data/sub', [{ target: '/data', access: 'read' }]), undefined)
  t.equal(collision('/database', [{ target: '/data', access: 'write' }]), undefined)
})

function problemsOf (t: Test, grants: string, env: NodeJS.ProcessEnv = {}): string[] {
  const directory = t.testdir({ gateway: { 'upstreams.yaml': `upstreams: { a: { command: x, sandbox: ${grants} } }`, docs: {} }, links: {}, data: {} })
  mkdirSync(join(directory, 'data/inner'))
  symlinkSync(join(directory, 'data'), join(directory, 'links/data'))
  symlinkSync('/etc', join(directory, 'links/etc'))
  try {
    loadConfig({ PORTCULLIS_CONFIG: join(directory, 'gateway/upstreams.yaml'), PORTCULLIS_DATA: join(directory, 'data'), ...env })
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ path, message }) => `${path}: ${message}`)
  }
}

test('a grant in the file is refused with its reason, also behind a symbolic link', async (t) => {
  const at = 'upstreams.a.sandbox'
  t.match(problemsOf(t, '{ read: [/etc/passwd] }'), [`${at}.read[0]: "/etc/passwd" must not be granted: it holds the configuration and the accounts`])
  t.match(problemsOf(t, '{ read: [.] }'), [/must not be granted: it contains files of the gateway itself/])
  t.match(problemsOf(t, '{ read: [../links/etc] }'), [/must not be granted: it leads to "\/etc", which holds the configuration/])
  t.match(problemsOf(t, '{ read: [../links/etc/new] }'), [/it leads to "\/etc\/new"/], 'also when what it names does not exist')
  t.match(problemsOf(t, '{ write: [../links/data/inner] }'), [/it leads to ".*\/data\/inner", which belongs to the gateway itself/])
  t.match(problemsOf(t, '{ read: ["${env:WHERE}"] }', { WHERE: '/proc' }), [/"\/proc" must not be granted/])
  t.match(problemsOf(t, '{ read: [~/files] }'), [`${at}.read[0]: "~" is not expanded: write the full path, for example ${join(homedir(), 'files')}`])
  t.match(problemsOf(t, '{ read: [$HOME/files] }'), [/"\$HOME" is not expanded: write \$\{env:HOME\}/])
  t.match(problemsOf(t, '{ read: [""] }'), [/is empty: write a path, or path:target/])
  t.match(problemsOf(t, '{ read: ["/srv/x:rw"] }'), [/"rw" is not a target/])
  t.match(problemsOf(t, '{ read: ["/srv/x:data"] }'), [/the target "data" must be an absolute path/])
  t.match(problemsOf(t, '{ read: ["/srv/x:/etc"] }'), [/the target "\/etc" would replace a part of the system/])
  t.match(problemsOf(t, '{ read: [/usr/share/dict] }'), [/the target "\/usr\/share\/dict" would replace .*: name another with path:target/])
  t.match(problemsOf(t, '{ read: ["/srv/x:/data"], write: ["/srv/y:/data"] }'), [`${at}.read[0]: "/data" is granted twice`])
  t.match(problemsOf(t, '{ read: ["/srv/x:/data/x"], write: ["/srv/y:/data"] }'), [`${at}.read[0]: "/data/x" lies below the writable "/data"`])
  t.match(problemsOf(t, '{ write: ["/srv/x:/data/x", "/srv/y:/data"] }'), [`${at}.write[0]: "/data/x" lies below the writable "/data"`])
  t.same(problemsOf(t, '{ read: [./docs, "/usr/share/dict:/dict"], write: ["/srv/y:/docs/"] }'), [])
})

test('a command line is split as a shell would split it', async (t) => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    'a b  c\t d ': ['a', 'b', 'c', 'd'],
    "a 'b c' d": ['a', 'b c', 'd'],
    'a "b c" d': ['a', 'b c', 'd'],
    "a'b'\"c\"d": ['abcd'],
    "a '' b": ['a', '', 'b'],
    "a 'it''s'": ['a', 'its'],
    'a \\"b\\" c\\ d': ['a', '"b"', 'c d'],
    'a "\\"x\\" \\y \\\\"': ['a', '"x" \\y \\'],
    "a '|;&<>$HOME`x`'": ['a', '|;&<>$HOME`x`'],
    'a "|;&<>#~"': ['a', '|;&<>#~'],
    'a "x y ${user.name}" ${secret:a b}c': ['a', 'x y ${user.name}', '${secret:a b}c'],
    'a \\${x} "\\${x}" $${y} 5$ $5': ['a', '$${x}', '$${x}', '$${y}', '5$', '$5'],
    'a b#c x~y =z': ['a', 'b#c', 'x~y', '=z'],
    'a\n': ['a'],
  }
  for (const [line, words] of Object.entries(cases)) t.same(splitCommand(line), { words }, line)
})
