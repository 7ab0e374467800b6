import { SandboxRuntimeConfigSchema } from '@anthropic-ai/sandbox-runtime'
import { execFileSync } from 'node:child_process'
import t from 'tap'

import { openSandbox } from '../../src/sandbox/sandbox.ts'
import { seatbeltConfig } from '../../src/sandbox/seatbelt-options.ts'
import { shellAssignments, shellWords } from '../../src/sandbox/shell-words.ts'
import { specFor } from './cells.ts'

t.test('the profile: everything is closed, then what is named is opened', async (t) => {
  const config = seatbeltConfig({ mounts: [{ source: '/srv/handbook', write: false }, { source: '/srv/files', write: true }], scratch: ['/private/tmp/x/home'] })
  t.same(SandboxRuntimeConfigSchema.parse(config), config, 'sandbox-runtime takes it as it is')
  t.same(config.network, { allowedDomains: [], deniedDomains: [], strictAllowlist: true, allowLocalBinding: false, allowUnixSockets: [], allowAllUnixSockets: false })
  t.same(config.filesystem.denyRead, ['/'])
  t.same(config.filesystem.allowRead?.slice(-3), ['/srv/handbook', '/srv/files', '/private/tmp/x/home'])
  t.same(config.filesystem.allowWrite.filter((path) => !path.startsWith('/dev/')), ['/srv/files', '/private/tmp/x/home'])
  for (const path of config.filesystem.allowRead ?? []) t.notMatch(path, /^\/(Users|Volumes|private\/(etc|var))?$/, path)
})

t.test('words and values reach a shell\'s program as they are', async (t) => {
  const odd = ['a b', "it's", '$HOME', '`id`', '$(id)', '"', '\\', 'a\nb', '']
  t.equal(execFileSync('/bin/sh', ['-c', `printf '%s|' ${shellWords(odd)}`], { encoding: 'utf8' }), `${odd.join('|')}|`)
  for (const value of odd) t.equal(execFileSync('/bin/sh', ['-c', `${shellAssignments({ VALUE: value })}printf %s "$VALUE"`], { encoding: 'utf8' }), value)
})

t.test('on another system nothing starts', { skip: process.platform === 'darwin' }, async (t) => {
  const sandbox = openSandbox('seatbelt', { allowUnsandboxed: false })
  t.match(await sandbox.selfTest(), { ok: false, reason: /is for macOS, and this is/, hint: /bubblewrap/ })
  await t.rejects(sandbox.spawn(specFor(['true'], { sandbox: { mode: 'seatbelt' } })), { name: 'SandboxError' })
})
