import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { SandboxMode, SandboxSpec } from '../config/config.ts'
import type { Cell, CellSpec } from './cell.ts'
import { hintFor } from './hints.ts'
import { SandboxError } from './sandbox-error.ts'

export type SelfTest = { readonly ok: true } | { readonly ok: false, readonly reason: string, readonly hint: string }

/**
 * Proves on this very machine that a cell confines: a child inside the real recipe looks around, and every fact it
 * reports must be as it should. Never throws.
 */
export async function selfTest (mode: SandboxMode, spawn: (spec: CellSpec) => Promise<Cell>): Promise<SelfTest> {
  const door = createServer((socket) => socket.destroy())
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-self-test-'))
  try {
    chmodSync(folder, 0o755) // only the sandbox is to keep the canary from being read
    const canary = join(folder, 'canary')
    writeFileSync(canary, randomUUID(), { mode: 0o644 })
    await once(door.listen(0, '127.0.0.1'), 'listening')
    return judge(mode, await lookAround(mode, spawn, canary, (door.address() as AddressInfo).port))
  } catch (error) {
    if (error instanceof SandboxError) return { ok: false, reason: error.reason, hint: error.hint ?? seeDocs }
    return { ok: false, reason: `The sandbox could not be tried: ${error instanceof Error ? error.message : String(error)}.`, hint: seeDocs }
  } finally {
    rmSync(folder, { recursive: true, force: true })
    door.close()
  }
}

const seeDocs = 'docs/sandbox.md has the requirements.'
const timeoutMs = 20_000
const MiB = 1024 * 1024
const limits: Omit<SandboxSpec, 'mode'> = { read: [], write: [], network: 'none', memory: 256 * MiB, processes: 32, fileSize: MiB, openFiles: 256, tmp: MiB, nice: 0 }

interface Facts {
  readonly seccomp: string,
  readonly noNewPrivs: string,
  readonly capabilities: string
  readonly processes: number,
  readonly routes: number
  readonly reached: boolean
  readonly canary: boolean,
  readonly system: boolean,
  readonly environment: readonly string[]
}

/** Runs inside the cell. */
const probe = `
const fs = require('node:fs')
const read = (path) => { try { return fs.readFileSync(path, 'utf8') } catch { return '' } }
const list = (path) => { try { return fs.readdirSync(path) } catch { return [] } }
const status = read('/proc/self/status')
const field = (name) => new RegExp('^' + name + ':\\\\s*(\\\\S+)', 'm').exec(status)?.[1] ?? ''
const can = (action) => { try { action(); return true } catch { return false } }
const tell = (reached) => {
  console.log(JSON.stringify({
    seccomp: field('Seccomp'), noNewPrivs: field('NoNewPrivs'), capabilities: field('CapEff'), reached,
    processes: list('/proc').filter((name) => /^\\d+$/.test(name)).length,
    routes: read('/proc/net/route').trim().split('\\n').length - 1,
    canary: can(() => fs.readFileSync(process.argv[1])),
    system: can(() => fs.writeFileSync('/usr/portcullis-self-test', '')),
    environment: Object.keys(process.env),
  }))
  process.exit()
}
require('node:net').connect(Number(process.argv[2]), '127.0.0.1').once('connect', () => tell(true)).once('error', () => tell(false))`

/** What must hold, and how its failure reads; under every backend, or under those it is said of. */
const expectations: readonly { readonly holds: (facts: Facts) => boolean, readonly otherwise: string, readonly of?: readonly SandboxMode[] }[] = [
  { holds: ({ seccomp }) => seccomp === '2', otherwise: 'the system call filter is not in force', of: ['bubblewrap', 'landlock'] },
  { holds: ({ noNewPrivs }) => noNewPrivs === '1', otherwise: 'a program inside could gain privileges', of: ['bubblewrap', 'landlock'] },
  { holds: ({ capabilities }) => /^0+$/.test(capabilities), otherwise: 'a program inside has capabilities', of: ['bubblewrap', 'landlock'] },
  { holds: ({ processes }) => processes <= 5, otherwise: 'processes of the host are visible inside', of: ['bubblewrap', 'landlock'] },
  { holds: ({ routes }) => routes === 0, otherwise: 'there is a route to a network inside', of: ['bubblewrap'] },
  { holds: ({ reached }) => !reached, otherwise: 'a port of the host can be reached inside' },
  { holds: ({ canary }) => !canary, otherwise: 'a file of the host can be read inside' },
  { holds: ({ system }) => !system, otherwise: '/usr can be written inside' },
  { holds: ({ environment }) => environment.every((name) => expectedNames.includes(name)), otherwise: 'the environment of the gateway is visible inside' },
]
const expectedNames = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'USER', 'LOGNAME', 'NODE_OPTIONS', 'PWD']

async function lookAround (mode: SandboxMode, spawn: (spec: CellSpec) => Promise<Cell>, canary: string, port: number): Promise<Facts> {
  const cell = await spawn({ upstream: 'self-test', command: ['node', '-e', probe, canary, `${port}`], directory: '/', env: {}, sandbox: { ...limits, mode }, protect: [] })
  const timer = setTimeout(() => cell.kill(), timeoutMs)
  try {
    const [output, complaint, exit] = await Promise.all([text(cell.stdout), text(cell.stderr), cell.exited])
    if (exit.code === 0) return JSON.parse(output) as Facts
    throw new SandboxError(`A program in the sandbox ended with ${exit.signal ?? `code ${exit.code}`}: ${complaint.trim().slice(0, 500)}`, hintFor(complaint))
  } finally {
    clearTimeout(timer)
    cell.kill()
  }
}

function judge (mode: SandboxMode, facts: Facts): SelfTest {
  const failed = expectations.filter(({ holds, of }) => (of === undefined || of.includes(mode)) && !holds(facts)).map(({ otherwise }) => otherwise)
  if (failed.length === 0) return { ok: true }
  return { ok: false, reason: `The sandbox does not confine on this machine: ${failed.join('; ')}.`, hint: seeDocs }
}
