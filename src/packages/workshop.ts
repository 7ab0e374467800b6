import { chownSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { NetworkSpec, SandboxSpec } from '../config/config.ts'
import { openEgress } from '../egress/proxy.ts'
import type { EgressOptions } from '../egress/proxy.ts'
import { bridgeProcesses } from '../sandbox/bridge.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { SandboxError } from '../sandbox/sandbox-error.ts'
import { nobody } from '../sandbox/stage.ts'

/** Where a workshop's folder is seen inside its cells. */
export const inner = '/package'

/** An empty folder, and cells in which the tools of a registry work on it: they reach the registry and nothing else. */
export interface Workshop {
  /** Where it is on the host. Its owner moves it away or removes it. */
  readonly folder: string
  write (name: string, content: string): void
  /** @throws SandboxError when it is no plain file, or too large to be what it should be */
  read (name: string): string
  /** Runs a tool to its end, with `network` or none, and gives what it printed. @throws SandboxError with its last words when it fails */
  run (command: readonly string[], env: Readonly<Record<string, string>>, network: 'none' | NetworkSpec): Promise<string>
}

export interface WorkshopOptions {
  /** The folder is made in here. */
  readonly parent: string
  readonly sandbox: Sandbox
  readonly upstream: string
  readonly directory: string
  /** Hears of every connection before it is made. */
  readonly record: EgressOptions['record']
  /** Ends what runs. */
  readonly signal: AbortSignal
}

/** Opens a workshop. Nothing of the gateway's environment is in its cells: no secret can leak from an installation. */
export function openWorkshop ({ parent, sandbox, upstream, directory, record, signal }: WorkshopOptions): Workshop {
  const folder = mkdtempSync(join(parent, '.work-'))
  hand(folder)
  mkdirSync(join(folder, '.tmp'))
  hand(join(folder, '.tmp'))
  return { folder, write, read, run }

  function write (name: string, content: string): void {
    writeFileSync(join(folder, name), content, { flag: 'wx', mode: 0o644 })
    hand(join(folder, name))
  }

  function read (name: string): string {
    const stats = lstatSync(join(folder, name), { throwIfNoEntry: false })
    if (stats?.isFile() !== true || stats.size > maxReport) throw new SandboxError(`The installation left no ${name} that could be read.`)
    return readFileSync(join(folder, name), 'utf8')
  }

  async function run (command: readonly string[], env: Readonly<Record<string, string>>, network: 'none' | NetworkSpec): Promise<string> {
    if (network === 'none') return await finish(command, env, limits)
    const egress = await openEgress({ network, record })
    try {
      return await finish(command, env, { ...limits, network, processes: limits.processes + bridgeProcesses }, egress.socket)
    } finally {
      await egress.close()
    }
  }

  async function finish (command: readonly string[], env: Readonly<Record<string, string>>, limits: SandboxSpec, egress?: string): Promise<string> {
    signal.throwIfAborted()
    const cell = await sandbox.spawn({ upstream, command, directory, cwd: inner, env: { TMPDIR: `${inner}/.tmp`, ...env }, sandbox: { ...limits, write: [{ source: folder, target: inner }] }, protect: [], ...(egress === undefined ? {} : { egress }) })
    const stop = (): void => cell.kill()
    const timer = setTimeout(stop, timeoutMs)
    signal.addEventListener('abort', stop)
    try {
      cell.stdin.end()
      const [printed, complaint, exit] = await Promise.all([collect(cell.stdout), collect(cell.stderr), cell.exited])
      if (exit.code === 0) return printed
      throw new SandboxError(`The installation ended with ${exit.signal ?? `code ${exit.code}`}: ${exit.detail ?? lastWords(complaint, printed)}`)
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      cell.kill()
    }
  }
}

const MiB = 1024 * 1024
const limits: SandboxSpec = { mode: 'bubblewrap', read: [], write: [], network: 'none', memory: 1536 * MiB, processes: 128, fileSize: 1024 * MiB, openFiles: 1024, tmp: 64 * MiB, nice: 0 }
const timeoutMs = 300_000
const maxReport = 16 * MiB
const maxPrinted = MiB

/** A root gateway's cells run as another user, who must be able to work here. */
function hand (path: string): void {
  if (process.getuid?.() === 0) chownSync(path, nobody.uid, nobody.gid)
}

/** What is printed, up to a bound; the rest is read and dropped. */
async function collect (stream: Readable): Promise<string> {
  let text = ''
  stream.setEncoding('utf8')
  for await (const chunk of stream) if (text.length < maxPrinted) text += String(chunk)
  return text
}

/** The lines that say what went wrong: tools begin with it and end with where their log is. */
function lastWords (complaint: string, printed: string): string {
  const lines = (complaint.trim() === '' ? printed : complaint).split('\n').map((line) => line.trim()).filter((line) => line !== '' && !/complete log|^npm (error|ERR!) *$/i.test(line))
  return lines.slice(0, 8).join(' ').slice(0, 800)
}

/** Removes a folder that nobody needs any more. */
export function discard (folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}
