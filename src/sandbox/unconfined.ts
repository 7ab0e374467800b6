import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { homedir, tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { ProcessCell } from './cell.ts'
import type { Cell, CellSpec } from './cell.ts'
import { resolveCommand } from './command.ts'
import { groupHold, signalGroup } from './group.ts'
import type { Host } from './host.ts'
import { checkEnvironment } from './plan.ts'
import { descendantsOf, usageOf } from './processes.ts'
import { SandboxError } from './sandbox-error.ts'

/**
 * Starts an upstream without a sandbox, in a process group of its own and with a clean environment. It can do all that
 * the gateway's user can; what leaves its process group survives it.
 */
export async function spawnUnconfined (spec: CellSpec, host: Host, path: string): Promise<Cell> {
  checkEnvironment(spec.env)
  const { argv: [file, ...args] } = resolveCommand(spec.command, spec.directory, host, () => undefined)
  if (file === undefined) throw new SandboxError('The command is empty.')
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    cwd: spec.cwd === undefined ? spec.directory : resolve(spec.directory, spec.cwd),
    env: { PATH: path, HOME: homedir(), TMPDIR: tmpdir(), LANG: 'C.UTF-8', ...spec.env },
  })
  try {
    await once(child, 'spawn')
  } catch (error) {
    throw new SandboxError(`${file} could not be started: ${error instanceof Error ? error.message : String(error)}.`, undefined, error)
  }
  const { stdin, stdout, stderr, pid } = child
  if (pid === undefined) throw new SandboxError(`${file} could not be started.`)
  return new ProcessCell({ pid, stdin, stdout, stderr }, child, groupHold(pid, {
    terminate: () => { signalGroup(pid, 'SIGTERM') },
    measure: () => usageOf([pid, ...descendantsOf(pid)]),
  }))
}
