import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, closeSync, mkdirSync, mkdtempSync, openSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { shortcomings } from '../config/backend.ts'
import { ProcessCell } from './cell.ts'
import type { Cell, CellSpec } from './cell.ts'
import { Wiring } from './descriptors.ts'
import { openMount } from './grants.ts'
import { groupHold } from './group.ts'
import type { Host } from './host.ts'
import { landlockOptions } from './landlock-options.ts'
import type { Place } from './landlock-options.ts'
import { answered, holdLeash } from './leash.ts'
import { planCell } from './plan.ts'
import type { Plan } from './plan.ts'
import type { Backend } from './proven.ts'
import { childrenOf, membersOf, usageOf } from './processes.ts'
import { ranked } from './rank.ts'
import { limitOptions } from './recipe.ts'
import { removeTree } from './remove-tree.ts'
import { SandboxError } from './sandbox-error.ts'
import { seccompFilter } from './seccomp.ts'
import { selfTest } from './self-test.ts'
import { shellAssignments } from './shell-words.ts'
import { nobody } from './stage.ts'
import { filteredMachine, harmlessEtc, requirePlatform, systemParts } from './system.ts'
import { findLandlockTools } from './tools.ts'
import type { LandlockTools } from './tools.ts'
import { Watchdog } from './watchdog.ts'

/** Landlock rules, a system call filter and limits on Linux, without namespaces. */
export function landlockBackend (host: Host): Backend {
  const watchdog = new Watchdog()
  let tools: Promise<LandlockTools> | undefined
  const spawn = async (spec: CellSpec): Promise<Cell> => {
    requirePlatform('linux', 'Landlock is a part of the Linux kernel.')
    return await spawnLandlocked(spec, await (tools ??= findLandlockTools(host.tool)), host, watchdog)
  }
  return {
    spawn,
    test: async () => {
      tools = undefined
      return await selfTest('landlock', spawn)
    },
  }
}

/**
 * Starts one upstream under Landlock rules and a system call filter, for places where namespaces cannot be had. Must be
 * called on the main thread, whose end the kernel reports to the cell.
 * @throws SandboxError when the command, a grant or the host does not allow it
 */
async function spawnLandlocked (spec: CellSpec, tools: LandlockTools, host: Host, watchdog: Watchdog): Promise<Cell> {
  const user = process.getuid?.() === 0 ? nobody : undefined
  const scratch = makeScratch(user)
  try {
    const plan = planCell(spec, host)
    for (const mount of plan.mounts) closeSync(openMount(mount, user).handle)
    scratch.writeFilter(seccompFilter(filteredMachine(), { alone: true }))
    const command = (talks: Talks): string[] => commandLine(spec, plan, scratch, tools, user, talks)
    const environment = shellAssignments({ ...plan.environment, HOME: scratch.home, TMPDIR: scratch.tmp })
    return await start(spec, command, environment, spec.cwd === undefined ? scratch.home : plan.cwd, scratch, watchdog)
  } catch (error) {
    scratch.remove()
    throw error
  }
}

/** The descriptors by which a cell is spoken to before its program begins, each of one digit, since sh redirects no other. */
interface Talks { readonly leash: number, readonly environment: number }

/**
 * Ends the whole group, and removes what was made for it, when there is no gateway: told by the kernel, or because nobody
 * answers before the program begins, or after it has ended, which it may have because its stdin was closed by the same death.
 * It is the first of the group and not confined itself; the program has its stdin, so that closing it is noticed.
 */
const watch = ({ leash, environment }: Talks): string => `folder=$1; shift; trap "/bin/rm -rf \\"$folder\\"; kill -KILL 0" TERM HUP PIPE
${answered(leash)} || kill -TERM $$
exec 9<&0 </dev/null; "$@" <&9 9<&- ${leash}>&- & exec 9<&- ${environment}<&-; wait $!; code=$?
${answered(leash)} || kill -TERM $$
exit $code`

/**
 * Gives the program its environment, inside: in that of the programs before it, it would act outside, in their arguments
 * everybody could read it, and in a file it would outlive a gateway that is killed.
 */
const dress = ({ environment }: Talks): string => `text=$(/bin/cat <&${environment}) || exit 126; set -a; eval "$text"; exec "$@" ${environment}<&-`

function commandLine (spec: CellSpec, plan: Plan, scratch: Scratch, tools: LandlockTools, user: typeof nobody | undefined, talks: Talks): string[] {
  const options = landlockOptions({
    system: [...systemParts().map(({ path }) => path), ...harmlessEtc, ...harmlessProc].flatMap(placeOf),
    mounts: plan.mounts.flatMap((mount) => placeOf(mount.source).map((place) => ({ ...mount, ...place }))),
    scratch: [scratch.home, scratch.tmp],
    filter: scratch.filter,
    user,
  })
  // the kernel counts processes for each user of the host, and that user has others
  const limits = limitOptions(spec.sandbox, plan).filter((option) => !option.startsWith('--nproc='))
  const program = ['/usr/bin/env', '-i', '/bin/sh', '-c', dress(talks), 'sh', tools.prlimit, ...limits, '--', ...plan.argv]
  const confined = [tools.setpriv, ...options, '--', ...program]
  return [tools.setpriv, '--pdeathsig', 'TERM', '--', '/bin/sh', '-c', watch(talks), 'sh', scratch.folder, ...ranked(confined, spec.sandbox.nice, tools)]
}

const harmlessProc = ['/proc/meminfo', '/proc/cpuinfo', '/proc/stat', '/proc/version']

async function start (spec: CellSpec, command: (talks: Talks) => readonly string[], environment: string, cwd: string, scratch: Scratch, watchdog: Watchdog): Promise<Cell> {
  const wiring = new Wiring()
  const talks = { leash: wiring.talk(), environment: wiring.data(environment) }
  const [file, ...args] = command(talks)
  if (file === undefined) throw new SandboxError('There is nothing to execute.')
  const nothing = openSync('/dev/null', 'r+')
  try {
    const child = spawn(file, args, { stdio: wiring.stdio(nothing), env: {}, cwd, detached: true })
    await once(child, 'spawn')
    const { stdin, stdout, stderr, stdio, pid } = child
    if (stdin === null || stdout === null || stderr === null || pid === undefined) throw new SandboxError('The sandbox was started without pipes.')
    holdLeash(wiring.stream(stdio, talks.leash))
    wiring.feed(stdio)
    const cell = new ProcessCell({ pid, stdin, stdout, stderr }, child, groupHold(pid, {
      terminate: () => { for (const program of childrenOf(pid)) terminate(program) },
      measure: () => usageOf(membersOf(pid).filter((member) => member !== pid)),
    }), shortcomings.landlock)
    const watched = { limits: spec.sandbox, measure: () => cell.measure(), members: () => cell.members(), end: cell.end.bind(cell) }
    watchdog.watch(watched)
    cell.exited.then(() => { watchdog.forget(watched); scratch.remove() }, () => {})
    return cell
  } catch (error) {
    throw error instanceof SandboxError ? error : new SandboxError(`The sandbox could not be started: ${error instanceof Error ? error.message : String(error)}.`, undefined, error)
  } finally {
    closeSync(nothing)
  }
}

interface Scratch {
  readonly folder: string
  readonly home: string
  readonly tmp: string
  /** A file that the cell cannot write. */
  readonly filter: string
  writeFilter (content: Buffer): void
  remove (): void
}

/** A home and a /tmp of the cell's own, and beside them, where the cell cannot write, what it is made of. */
function makeScratch (user: typeof nobody | undefined): Scratch {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-cell-'))
  const give = (path: string): void => { if (user !== undefined) chownSync(path, user.uid, user.gid) }
  const [home, tmp, filter] = ['home', 'tmp', 'filter'].map((name) => join(folder, name)) as [string, string, string]
  for (const path of [home, tmp]) mkdirSync(path, { mode: 0o700 })
  for (const path of [folder, home, tmp]) give(path)
  return {
    folder,
    home,
    tmp,
    filter,
    writeFilter: (content) => {
      writeFileSync(filter, content, { mode: 0o600 })
      give(filter)
    },
    remove: () => removeTree(folder),
  }
}

function placeOf (path: string): Place[] {
  const stats = statSync(path, { throwIfNoEntry: false })
  return stats === undefined ? [] : [{ path, isDirectory: stats.isDirectory() }]
}

function terminate (pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch {
    // it has just ended
  }
}
