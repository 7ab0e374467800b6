import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'

import { openSandbox } from '../../src/sandbox/sandbox.ts'
import { ask, fixtures, specFor, writable } from './cells.ts'

const probe = join(fixtures, 'probe.mjs')

async function listening (where: string | number): Promise<AddressInfo | string | null> {
  const server = createServer((socket) => socket.end())
  await new Promise<void>((resolve) => {
    if (typeof where === 'number') server.listen(where, '127.0.0.1', resolve)
    else server.listen(where, resolve)
  })
  t.teardown(() => server.close())
  return server.address()
}

/** Things of the host worth reaching for, and the arguments that name them for the probe. */
async function bait (inside: boolean): Promise<Record<string, unknown>> {
  const host = writable(t.testdir(), inside ? 'inside' : 'plain')
  const outside = writable(host, 'outside')
  const grant = writable(host, 'grant')
  const readOnly = writable(host, 'read-only')
  mkdirSync(join(host, 'keys'))
  const [secretFile, privateKey] = [join(host, 'secret.env'), join(host, 'keys/id_ed25519')]
  for (const file of [secretFile, privateKey]) writeFileSync(file, 'secret', { mode: 0o644 }) // readable by all: only the sandbox protects it
  const envSecret = `secret-${Math.random()}`
  process.env['PORTCULLIS_TEST_SECRET'] = envSecret
  const abstractSocket = `portcullis-test-${process.pid}-${inside}`
  const pathSocket = `/tmp/${abstractSocket}.sock`
  await listening(`\0${abstractSocket}`)
  await listening(pathSocket)
  const port = await listening(0) as AddressInfo
  return { secretFile, privateKey, outside, grant, readOnlyGrant: readOnly, gatewayPid: process.pid, hostname: hostname(), envSecret, tcpPort: port.port, abstractSocket, pathSocket }
}

function escapes (result: Record<string, unknown>): string[] {
  const [{ text = '{}' } = {}] = result['content'] as { text?: string }[]
  const verdicts = Object.entries(JSON.parse(text) as Record<string, string>)
  t.ok(verdicts.length >= 65, `all probes ran (${verdicts.length})`)
  return verdicts.filter(([, verdict]) => verdict.startsWith('ESCAPED')).map(([name, verdict]) => `${name}: ${verdict}`)
}

t.test('no probe gets out of a cell', async (t) => {
  const sandbox = openSandbox('bubblewrap', { allowUnsandboxed: false })
  const targets = await bait(true)
  const { grant, readOnlyGrant } = targets as { grant: string, readOnlyGrant: string }
  const cell = await sandbox.spawn(specFor(['node', probe], {
    sandbox: {
      write: [{ source: grant, target: '/data' }],
      read: [{ source: readOnlyGrant, target: '/reference' }],
    }
  }))
  t.teardown(() => cell.kill())
  const result = await ask(cell, 'tools/call', { name: 'run_probe', arguments: { ...targets, grant: '/data', readOnlyGrant: '/reference' } })
  t.same(escapes(result), [])
})

t.test('the same probe gets out in many ways without a sandbox, so it would notice', async (t) => {
  const targets = await bait(false)
  const child = spawn(process.execPath, [probe], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const got = escapes(await ask(child, 'tools/call', { name: 'run_probe', arguments: targets }))
  t.ok(got.length >= 25, `${got.length} ways out`)
  for (const name of ['reads a secret file', 'writes outside', 'its own environment', 'may signal the gateway', 'over IPv4', 'abstract socket', 'starts 100', 'maps 4 GiB']) {
    t.ok(got.some((line) => line.includes(name)), name)
  }
})
