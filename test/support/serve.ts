import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { Test } from 'tap'
import { adminPassword, until } from './gateway.ts'

/** A real `portcullis serve`, in a process of its own. */
export interface Served {
  readonly process: ChildProcessByStdio<null, Readable, Readable>
  /** Everything it printed so far. */
  readonly said: () => string
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
}

/** A folder for one, removed with the test; confined servers may write in `shared`. */
export function openFolder (t: Test): { readonly folder: string, readonly shared: string } {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-served-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const shared = join(folder, 'shared')
  mkdirSync(shared)
  chmodSync(shared, 0o777)
  return { folder, shared }
}

/** Starts it as it was built; killed with the test. */
export function serve (t: Test, args: readonly string[], env: Readonly<Record<string, string>>): Served {
  const cli = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url))
  const child = spawn(process.execPath, [cli, 'serve', ...args], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { text += chunk.toString() })
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { process: child, said: () => text, ended }
}

/** Waits until it serves at `url`; when it has ended instead, says what it said. */
export async function ready (url: string, { process: child, said }: Served): Promise<void> {
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the gateway ended: ${said()}`)
    return await fetch(`${url}/readyz`).then(({ ok }) => ok, () => false)
  }, 120_000)
}

/** The access token of a login of the administrator, whose password was given as `adminPassword`; ten a minute are let in. */
export async function loginAdmin (url: string): Promise<string> {
  const login = await fetch(`${url}/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'admin', password: adminPassword }) })
  if (!login.ok) throw new Error(`the administrator could not log in: ${await login.text()}`)
  return (await login.json() as { access_token: string }).access_token
}

/** A client of the administrator, with a login of its own unless it is given a token. */
export async function connectAdmin (t: Test, url: string, path: string, given?: string): Promise<Client> {
  const token = given ?? await loginAdmin(url)
  const client = new Client({ name: 'test-client', version: '1.0.0' })
  await client.connect(new StreamableHTTPClientTransport(new URL(url + path), { requestInit: { headers: { authorization: `Bearer ${token}` } } }) as Transport)
  t.teardown(() => client.close().catch(() => {}))
  return client
}
