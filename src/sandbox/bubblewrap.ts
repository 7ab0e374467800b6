import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { innerSocket } from './bridge.ts'
import { ProcessCell } from './cell.ts'
import type { Cell, CellSpec } from './cell.ts'
import { ConfinedHold } from './confined.ts'
import { Wiring } from './descriptors.ts'
import { openMount, openSocket } from './grants.ts'
import type { OpenMount } from './grants.ts'
import type { Host } from './host.ts'
import { holdLeash, leashed } from './leash.ts'
import { endOrphans } from './orphans.ts'
import { planCell } from './plan.ts'
import type { Plan } from './plan.ts'
import type { Backend } from './proven.ts'
import { ranked } from './rank.ts'
import { bwrapOptions, limitOptions, syntheticFiles } from './recipe.ts'
import { SandboxError } from './sandbox-error.ts'
import { seccompFilter } from './seccomp.ts'
import { selfTest } from './self-test.ts'
import { dropRights, needsStage, nobody, stagedPath, stageOptions } from './stage.ts'
import { filteredMachine, requirePlatform, systemParts } from './system.ts'
import { findTools } from './tools.ts'
import type { Tools } from './tools.ts'
import { Watchdog } from './watchdog.ts'

/** Namespaces, limits and a system call filter on Linux: the default. */
export function bubblewrapBackend (host: Host): Backend {
  const watchdog = new Watchdog()
  let tools: Promise<Tools> | undefined
  const spawn = async (spec: CellSpec): Promise<Cell> => {
    requirePlatform('linux', 'Run the gateway in a Linux container or virtual machine.')
    return await spawnConfined(spec, await (tools ??= findTools(host.tool)), host, watchdog)
  }
  return {
    spawn,
    test: async () => {
      tools = undefined
      endOrphans()
      return await selfTest('bubblewrap', spawn)
    },
  }
}

/**
 * Starts one upstream inside bubblewrap. Must be called on the main thread: the kernel ties the life of the cell to the
 * thread that spawned it.
 * @throws SandboxError when the command, a grant or the host does not allow it
 */
async function spawnConfined (spec: CellSpec, tools: Tools, host: Host, watchdog: Watchdog): Promise<Cell> {
  const plan = planCell(spec, host)
  const opened: OpenMount[] = []
  const nothing = openSync('/dev/null', 'r+')
  try {
    for (const mount of plan.mounts) opened.push(openMount(mount, process.getuid?.() === 0 ? nobody : undefined))
    if (spec.egress !== undefined) opened.push(openSocket(spec.egress, innerSocket))
    return await settle(spec, launch(spec, plan, opened, nothing, tools), watchdog)
  } finally {
    for (const handle of [nothing, ...opened.map(({ handle }) => handle)]) closeSync(handle)
  }
}

interface Launched { readonly child: ChildProcess, readonly wiring: Wiring, readonly leash: number, readonly status: number }

/** Root never becomes the cell's user inside the kernel: it drops to nobody, before bwrap or on a stage. */
function launch (spec: CellSpec, plan: Plan, opened: readonly OpenMount[], nothing: number, tools: Tools): Launched {
  const isRoot = process.getuid?.() === 0
  const isStaged = isRoot && needsStage(opened)
  const wiring = new Wiring()
  const leash = wiring.talk() // first, for a number of one digit
  const sources = opened.map(({ handle, source }) => tools.options.has('--bind-fd') && tools.options.has('--ro-bind-fd') ? wiring.handle(handle) : source)
  const system = systemParts()
  const status = wiring.talk()
  const options = bwrapOptions({
    system,
    binds: opened.map(({ target, write }, index) => ({ from: isStaged ? stagedPath(index) : sources[index] ?? '', target, write })),
    files: Object.fromEntries(Object.entries(syntheticFiles).map(([path, content]) => [path, wiring.data(content)])),
    seccomp: wiring.data(filter()),
    status,
    environment: plan.environment,
    cwd: plan.cwd,
    tmp: spec.sandbox.tmp,
    options: tools.options,
  })
  const inner = [tools.bwrap, '--args', `${wiring.data(nulSeparated(options))}`, '--', ...leashed([tools.prlimit, ...limitOptions(spec.sandbox, plan), '--', ...plan.argv], leash)]
  const confined = isStaged
    ? [tools.bwrap, '--args', `${wiring.data(nulSeparated(stageOptions(system, sources)))}`, '--', ...dropRights(tools), ...inner]
    : inner
  const [file, ...args] = ranked(confined, spec.sandbox.nice, tools)
  if (file === undefined) throw new SandboxError('There is nothing to execute.')
  // an empty environment: what an upstream's env names (LD_PRELOAD) must not reach bwrap itself
  const child = spawn(file, args, { stdio: wiring.stdio(nothing), env: {}, cwd: '/', ...(isRoot && !isStaged ? nobody : {}) })
  return { child, wiring, leash, status }
}

async function settle (spec: CellSpec, { child, wiring, leash, status }: Launched, watchdog: Watchdog): Promise<Cell> {
  try {
    await once(child, 'spawn')
  } catch (error) {
    throw new SandboxError(`The sandbox could not be started: ${error instanceof Error ? error.message : String(error)}.`, undefined, error)
  }
  const { stdin, stdout, stderr, stdio, pid } = child
  if (stdin === null || stdout === null || stderr === null || pid === undefined) throw new SandboxError('The sandbox was started without pipes.')
  wiring.feed(stdio)
  holdLeash(wiring.stream(stdio, leash))
  const hold = new ConfinedHold(child, wiring.stream(stdio, status), stderr)
  const cell = new ProcessCell({ pid, stdin, stdout, stderr: hold.stderr }, child, hold)
  const watched = { limits: spec.sandbox, measure: () => cell.measure(), members: () => cell.members(), end: cell.end.bind(cell) }
  watchdog.watch(watched)
  cell.exited.then(() => watchdog.forget(watched), () => {})
  return cell
}

let program: Buffer | undefined

function filter (): Buffer {
  program ??= seccompFilter(filteredMachine())
  return program
}

function nulSeparated (options: readonly string[]): string {
  return options.map((option) => `${option}\0`).join('')
}
