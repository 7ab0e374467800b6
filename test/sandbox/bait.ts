import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

import { writable } from './cells.ts'

/** Things of the host worth reaching for, and the arguments that name them for the probe. */
export async function bait (t: Test, name: string): Promise<Record<string, unknown> & { grant: string, readOnlyGrant: string }> {
  const host = writable(t.testdir(), name)
  const outside = writable(host, 'outside')
  const grant = writable(host, 'grant')
  const readOnlyGrant = writable(host, 'read-only')
  mkdirSync(join(host, 'keys'))
  const [secretFile, privateKey] = [join(host, 'secret.env'), join(host, 'keys/id_ed25519')]
  for (const file of [secretFile, privateKey]) writeFileSync(file, 'secret', { mode: 0o644 }) // readable by all: only the sandbox protects it
  const envSecret = `secret-${Math.random()}`
  process.env['PORTCULLIS_TEST_SECRET'] = envSecret
  const abstractSocket = `portcullis-test-${process.pid}-${name}`
  const pathSocket = `/tmp/${abstractSocket}.sock`
  await listening(t, `\0${abstractSocket}`)
  await listening(t, pathSocket)
  const port = await listening(t, 0) as AddressInfo
  return { secretFile, privateKey, outside, grant, readOnlyGrant, gatewayPid: process.pid, hostname: hostname(), envSecret, tcpPort: port.port, abstractSocket, pathSocket }
}

/** What the probe says got out: "name: how". */
export function escapes (t: Test, result: Record<string, unknown>): string[] {
  const [{ text = '{}' } = {}] = result['content'] as { text?: string }[]
  const verdicts = Object.entries(JSON.parse(text) as Record<string, string>)
  t.ok(verdicts.length >= 65, `all probes ran (${verdicts.length})`)
  return verdicts.filter(([, verdict]) => verdict.startsWith('ESCAPED')).map(([name, verdict]) => `${name}: ${verdict}`)
}

async function listening (t: Test, where: string | number): Promise<AddressInfo | string | null> {
  const server = createServer((socket) => socket.end())
  await new Promise<void>((resolve) => {
    if (typeof where === 'number') server.listen(where, '127.0.0.1', resolve)
    else server.listen(where, resolve)
  })
  t.teardown(() => server.close())
  return server.address()
}
