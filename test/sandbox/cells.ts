import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Cell, CellSpec, Exit } from '../../src/sandbox/cell.ts'
import { realHost } from '../../src/sandbox/host.ts'
import { openSandbox } from '../../src/sandbox/sandbox.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import type { SandboxMode, SandboxSpec } from '../../src/config/config.ts'

export const MiB = 1024 * 1024
export const project = resolve(fileURLToPath(import.meta.url), '../../..')
export const fixtures = join(project, 'test/fixtures')

export const limits: SandboxSpec = {
  mode: 'bubblewrap', read: [], write: [], network: 'none', memory: 512 * MiB, processes: 64, fileSize: 256 * MiB, openFiles: 1024, tmp: 64 * MiB, nice: 0,
}

/** A spec with the shipped limits; `sandbox` and the rest as the test wants them. */
export function specFor (command: readonly string[], { sandbox, ...rest }: Partial<Omit<CellSpec, 'sandbox'>> & { sandbox?: Partial<SandboxSpec> } = {}): CellSpec {
  return { upstream: 'test', command, directory: project, env: {}, protect: [], ...rest, sandbox: { ...limits, ...sandbox } }
}

/** The sandbox of this machine, with the setpriv that TEST_SETPRIV names, where it names one. */
export function machineSandbox (mode: SandboxMode): Sandbox {
  const machine = realHost('/usr/local/bin:/usr/bin:/bin')
  const setpriv = process.env['TEST_SETPRIV'] ?? machine.tool('setpriv')
  return openSandbox(mode, { allowUnsandboxed: false, host: { ...machine, tool: (name) => name === 'setpriv' ? setpriv : machine.tool(name) } })
}

/** A directory that the user cells run as may write, whoever runs the tests. */
export function writable (...parts: string[]): string {
  const path = join(...parts)
  mkdirSync(path, { recursive: true })
  if (process.getuid?.() === 0) chownSync(path, 65534, 65534)
  else chmodSync(path, 0o755)
  return path
}

/** Runs a program to its end, with nothing on stdin. */
export async function run (sandbox: Sandbox, spec: CellSpec): Promise<Exit & { stdout: string, stderr: string }> {
  const cell = await sandbox.spawn(spec)
  cell.stdin.end()
  const [stdout, stderr, exit] = await Promise.all([text(cell.stdout), text(cell.stderr), cell.exited])
  return { ...exit, stdout, stderr }
}

/** Asks an MCP server one thing over its pipes and gives the result back. */
export async function ask (cell: Pick<Cell, 'stdin' | 'stdout'>, method: string, params: object): Promise<Record<string, unknown>> {
  const lines = createInterface({ input: cell.stdout })
  cell.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })}\n`)
  for await (const line of lines) {
    const message = JSON.parse(line) as { id?: unknown, result?: Record<string, unknown>, error?: unknown }
    if (message.id === 1 && message.result !== undefined) return message.result
    if (message.id === 1) throw new Error(JSON.stringify(message.error))
  }
  throw new Error('the server ended without an answer')
}

export const greeting = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } }

/** Processes of this machine whose command line holds `mark`. */
export function processesWith (mark: string): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return pid !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(mark)
    } catch {
      return false
    }
  })
}

/** Waits until `holds`, for ten seconds at most; says whether it came to be. */
export async function eventually (holds: () => boolean): Promise<boolean> {
  for (let tries = 0; tries < 400; tries++) {
    if (holds()) return true
    await sleep(25)
  }
  return false
}
