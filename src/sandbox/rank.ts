import { readFileSync, writeFileSync } from 'node:fs'
import { SandboxError } from './sandbox-error.ts'
import type { Tools } from './tools.ts'

/** The programs that rank a command, where they are there. */
type Ranking = Pick<Tools, 'choom' | 'nice'>

/**
 * The command of a cell, with its place behind the gateway: the kernel's out-of-memory killer chooses it first, and on a busy
 * processor others go first. What it starts inherits both, and without rights can only stand back further.
 * @throws SandboxError when the program nice is wanted and missing
 */
export function ranked (command: readonly string[], nice: number, tools: Ranking): string[] {
  return [...tools.choom === undefined ? [] : [tools.choom, '-n', '800', '--'], ...stoodBack(command, nice, tools.nice)]
}

/** The command, at this nice value; 0 is that of the gateway. @throws SandboxError when the program for it is missing */
export function stoodBack (command: readonly string[], nice: number, program: string | undefined): string[] {
  if (nice === 0) return [...command]
  if (program === undefined) throw new SandboxError('sandbox.nice is set, and the program nice is not installed.', 'Install coreutils, or remove sandbox.nice.')
  return [program, '-n', `${nice}`, ...command]
}

/**
 * Where the kernel shares the processor among sessions first (autogroup), a nice value only counts within one. This says it of
 * the sessions of these processes; to be repeated, since a process may open another. Nothing happens where there is no autogroup.
 */
export function standBack (pids: readonly number[], nice: number): void {
  const done = new Set<string>()
  for (const pid of pids) {
    const [group, now] = /^(\/autogroup-\d+) nice (-?\d+)/.exec(read(`/proc/${pid}/autogroup`))?.slice(1) ?? []
    if (group === undefined || Number(now) >= nice || done.has(group)) continue
    try {
      writeFileSync(`/proc/${pid}/autogroup`, `${nice}`)
      done.add(group)
    } catch {
      // It has ended; or the kernel, which takes ten of these a second from a user, takes it next time.
    }
  }
}

function read (path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
