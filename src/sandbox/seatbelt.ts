import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { shortcomings } from '../config/backend.ts'
import { hijacks } from '../config/hijack.ts'
import { ProcessCell } from './cell.ts'
import type { Cell, CellSpec } from './cell.ts'
import { groupHold, signalGroup } from './group.ts'
import type { Host } from './host.ts'
import { planCell } from './plan.ts'
import { descendantsOf, usageOf } from './processes.ts'
import type { Backend } from './proven.ts'
import { stoodBack } from './rank.ts'
import { removeTree } from './remove-tree.ts'
import { SandboxError } from './sandbox-error.ts'
import { seatbeltConfig } from './seatbelt-options.ts'
import { selfTest } from './self-test.ts'
import { shellWords } from './shell-words.ts'
import { requirePlatform } from './system.ts'

/** The sandbox of macOS, by way of sandbox-runtime, which is loaded there only. */
export function seatbeltBackend (host: Host): Backend {
  let runtime: Promise<Runtime> | undefined
  const start = async (spec: CellSpec): Promise<Cell> => {
    requirePlatform('darwin', 'On Linux use mode: bubblewrap.')
    return await spawnInSeatbelt(spec, await (runtime ??= openRuntime()), host)
  }
  return {
    spawn: start,
    test: async () => {
      runtime = undefined
      return await selfTest('seatbelt', start)
    },
  }
}

type Runtime = typeof import('@anthropic-ai/sandbox-runtime').SandboxManager

/** Its network policy is one for the whole process, so it is: none. */
async function openRuntime (): Promise<Runtime> {
  const { SandboxManager } = await import('@anthropic-ai/sandbox-runtime').catch((error: unknown) => {
    throw new SandboxError('@anthropic-ai/sandbox-runtime is not installed, and an upstream names mode: seatbelt.', 'Run npm install without --omit=optional.', error)
  })
  await SandboxManager.initialize(seatbeltConfig({ mounts: [], scratch: [] }))
  return SandboxManager
}

async function spawnInSeatbelt (spec: CellSpec, runtime: Runtime, host: Host): Promise<Cell> {
  const foreign = Object.keys(spec.env).find(hijacks)
  if (foreign !== undefined) throw new SandboxError(`The environment variable ${foreign} cannot be given to an upstream under mode: seatbelt: it would act outside of it.`)
  const plan = planCell(spec, host)
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'portcullis-cell-'))) // Seatbelt judges real paths, and /tmp is a link there
  try {
    const [home, tmp] = [join(folder, 'home'), join(folder, 'tmp')]
    for (const path of [home, tmp]) mkdirSync(path, { mode: 0o700 })
    const command = await runtime.wrapWithSandbox(shellWords(plan.argv), '/bin/sh', seatbeltConfig({ mounts: plan.mounts, scratch: [home, tmp] }))
    const [file = '', ...args] = stoodBack(['/bin/sh', '-c', command], spec.sandbox.nice, host.tool('nice'))
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true, cwd: spec.cwd === undefined ? home : plan.cwd, env: { ...plan.environment, HOME: home, TMPDIR: tmp } })
    await once(child, 'spawn')
    const { stdin, stdout, stderr, pid } = child
    if (pid === undefined) throw new SandboxError('The sandbox was started without a process.')
    const hold = groupHold(pid, { terminate: () => { signalGroup(pid, 'SIGTERM') }, measure: () => usageOf([pid, ...descendantsOf(pid)]) })
    const cell = new ProcessCell({ pid, stdin, stdout, stderr }, child, hold, shortcomings.seatbelt)
    cell.exited.then(() => removeTree(folder), () => {})
    return cell
  } catch (error) {
    removeTree(folder)
    throw error instanceof SandboxError ? error : new SandboxError(`The sandbox could not be started: ${error instanceof Error ? error.message : String(error)}.`, undefined, error)
  }
}
