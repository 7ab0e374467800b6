import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'

import { loadConfig } from '../../src/config/config.ts'
import type { SandboxSpec } from '../../src/config/config.ts'
import { welcome } from '../../src/welcome.ts'

const load = (t: Test, sandbox: string) => {
  const folder = t.testdir()
  const file = join(folder, 'upstreams.yaml')
  mkdirSync(join(folder, 'files'))
  writeFileSync(file, `upstreams: { a: { command: x, sandbox: ${sandbox.replaceAll('FOLDER', folder)} } }`)
  return loadConfig({}, { file })
}
const read = (t: Test, sandbox: string): SandboxSpec | undefined => load(t, sandbox).upstreams.get('a')?.sandbox

t.test('a backend is chosen by name', async (t) => {
  t.match(read(t, '{ mode: landlock, read: [FOLDER/files], memory: 64MiB, processes: 8 }'), { mode: 'landlock', memory: 67108864 })
  t.match(read(t, '{ mode: docker, image: "node:24-slim", read: ["FOLDER/files:/data"], tmp: 1MiB }'), { mode: 'docker', image: 'node:24-slim', read: [{ target: '/data' }] })
  t.match(read(t, '{ mode: seatbelt, write: [FOLDER/files] }'), { mode: 'seatbelt' })
})

t.test('what a backend cannot do is a mistake, not left undone', async (t) => {
  const mistakes: Record<string, RegExp> = {
    '{ mode: landlock, network: [a.example] }': /names hosts, and "mode: landlock" cannot hold a server to them/,
    '{ mode: docker, image: x, network: [a.example] }': /names hosts, and "mode: docker"/,
    '{ mode: seatbelt, network: [a.example] }': /names hosts, and "mode: seatbelt"/,
    '{ mode: landlock, tmp: 1MiB }': /cannot be kept by "mode: landlock"/,
    '{ mode: seatbelt, memory: 64MiB }': /cannot be kept by "mode: seatbelt"/,
    '{ mode: landlock, read: ["FOLDER/files:/data"] }': /shows files where they are: write ".*files" without the target "\/data"/,
    '{ mode: docker }': /"mode: docker" needs "image"/,
    '{ image: x }': /is for "mode: docker" only/,
    '{ mode: firejail }': /must be one of bubblewrap, landlock, docker, seatbelt, none/,
  }
  for (const [sandbox, message] of Object.entries(mistakes)) t.throws(() => load(t, sandbox), { message }, sandbox)
})

t.test('at every start the gateway says what a weaker backend does not hold a server to', async (t) => {
  const shown = (sandbox: string): string => welcome({ firstAdmin: undefined, sandboxProblems: [] }, load(t, sandbox))
  t.match(shown('{ mode: landlock }'), /a is confined by landlock\. Under it, and not under bubblewrap, the server may send signals.*; sees the host's name/)
  t.match(shown('{ mode: docker, image: x }'), /a is confined by docker\..*Docker's profile/)
  t.notMatch(shown('{}'), /confined by/)
})
