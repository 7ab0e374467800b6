import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

import { openSandbox } from '../../src/sandbox/sandbox.ts'
import { bait, escapes } from './bait.ts'
import { ask, fixtures, specFor } from './cells.ts'

const probe = join(fixtures, 'probe.mjs')

t.test('no probe gets out of a cell', async (t) => {
  const sandbox = openSandbox('bubblewrap', { allowUnsandboxed: false })
  const targets = await bait(t, 'inside')
  const { grant, readOnlyGrant } = targets
  const cell = await sandbox.spawn(specFor(['node', probe], {
    sandbox: {
      write: [{ source: grant, target: '/data' }],
      read: [{ source: readOnlyGrant, target: '/reference' }],
    }
  }))
  t.teardown(() => cell.kill())
  const result = await ask(cell, 'tools/call', { name: 'run_probe', arguments: { ...targets, grant: '/data', readOnlyGrant: '/reference' } })
  t.same(escapes(t, result), [])
})

t.test('the same probe gets out in many ways without a sandbox, so it would notice', async (t) => {
  const targets = await bait(t, 'plain')
  const child = spawn(process.execPath, [probe], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const got = escapes(t, await ask(child, 'tools/call', { name: 'run_probe', arguments: targets }))
  t.ok(got.length >= 25, `${got.length} ways out`)
  for (const name of ['reads a secret file', 'writes outside', 'its own environment', 'may signal the gateway', 'over IPv4', 'abstract socket', 'starts 100', 'maps 4 GiB']) {
    t.ok(got.some((line) => line.includes(name)), name)
  }
})
