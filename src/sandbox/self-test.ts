import { randomUUID } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { SandboxSpec } from '../config/config.ts'
import type { Cell, CellSpec } from './cell.ts'
import { hintFor } from './hints.ts'
import { SandboxError } from './sandbox-error.ts'

export type SelfTest = { readonly ok: true } | { readonly ok: false, readonly reason: string, readonly hint: string }

/**
 * Proves on this very machine that a cell confines: a child inside the real recipe looks around, and every fact it
 * reports must be as it should. Never throws.
 */
export async function selfTest (spawn: (spec: CellSpec) => Promise<Cell>): Promise<SelfTest> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-self-test-'))
  try {
    chmodSync(folder, 0o755) // only the sandbox is to keep the canary from being read
    const canary = join(folder, 'canary')
    writeFileSync(canary, randomUUID(), { mode: 0o644 })
    return judge(await lookAround(spawn, canary))
  } catch (error) {
    if (error instanceof SandboxError) return { ok: false, reason: error.reason, hint: error.hint ?? seeDocs }
    return { ok: false, reason: `The sandbox could not be tried: ${error instanceof Error ? error.message : String(error)}.`, hint: seeDocs }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const seeDocs = 'docs/sandbox.md has the requirements.'
const timeoutMs = 20_000
const MiB = 1024 * 1024
const limits: SandboxSpec = { mode: 'bubblewrap', read: [], write: [], network: 'none', memory: 256 * MiB, processes: 32, fileSize: MiB, openFiles: 256, tmp: MiB }

interface Facts {
  readonly seccomp: string,
  readonly noNewPrivs: string,
  readonly capabilities: string
  readonly processes: number,
  readonly routes: number
  readonly canary: boolean,
  readonly system: boolean,
  readonly environment: readonly string[]
}

/** Runs inside the cell. */
const probe = `
const fs = require('node:fs')
const status = fs.readFileSync('/proc/self/status', 'utf8')
const field = (name) => new RegExp('^' + name + ':\\\\s*(\\\\S+)', 'm').exec(status)?.[1]
const can = (action) => { try { action(); return true } catch { return false } }
console.log(JSON.stringify({
  seccomp: field('Seccomp'), noNewPrivs: field('NoNewPrivs'), capabilities: field('CapEff'),
  processes: fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).length,
  routes: fs.readFileSync('/proc/net/route', 'utf8').trim().split('\\n').length - 1,
  canary: can(() => fs.readFileSync(process.argv[1])),
  system: can(() => fs.writeFileSync('/usr/portcullis-self-test', '')),
  environment: Object.keys(process.env),
}))`

/** What must hold, and how its failure reads. */
const expectations: readonly (readonly [holds: (facts: Facts) => boolean, otherwise: string])[] = [
  [({ seccomp }) => seccomp === '2', 'the system call filter is not in force'],
  [({ noNewPrivs }) => noNewPrivs === '1', 'a program inside could gain privileges'],
  [({ capabilities }) => /^0+$/.test(capabilities), 'a program inside has capabilities'],
  [({ processes }) => processes <= 5, 'processes of the host are visible inside'],
  [({ routes }) => routes === 0, 'there is a route to a network inside'],
  [({ canary }) => !canary, 'a file of the host can be read inside'],
  [({ system }) => !system, '/usr can be written inside'],
  [({ environment }) => environment.every((name) => expectedNames.includes(name)), 'the environment of the gateway is visible inside'],
]
const expectedNames = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'USER', 'LOGNAME', 'NODE_OPTIONS', 'PWD']

async function lookAround (spawn: (spec: CellSpec) => Promise<Cell>, canary: string): Promise<Facts> {
  const cell = await spawn({ upstream: 'self-test', command: ['node', '-e', probe, canary], directory: '/', env: {}, sandbox: limits, protect: [] })
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

function judge (facts: Facts): SelfTest {
  const failed = expectations.filter(([holds]) => !holds(facts)).map(([, otherwise]) => otherwise)
  if (failed.length === 0) return { ok: true }
  return { ok: false, reason: `The sandbox does not confine on this machine: ${failed.join('; ')}.`, hint: seeDocs }
}
