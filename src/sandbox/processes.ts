import { readdirSync, readFileSync } from 'node:fs'

/** What a set of processes uses. Memory is private and shared-anonymous memory, without files that others share. */
export interface Usage { readonly rssBytes: number, readonly cpuSeconds: number, readonly processes: number, readonly openFiles: number }

/** Of what is not here any more, or not on this machine. */
export const noUsage: Usage = { rssBytes: 0, cpuSeconds: 0, processes: 0, openFiles: 0 }

/**
 * The direct children of a process (Linux). Reading /proc is synchronous on purpose: the kernel answers from memory,
 * in less time than a trip through the thread pool costs.
 */
export function childrenOf (pid: number): number[] {
  return list(`/proc/${pid}/task`).flatMap((task) =>
    read(`/proc/${pid}/task/${task}/children`).split(' ').filter((child) => child !== '').map(Number))
}

/** All descendants of a process, not itself. */
export function descendantsOf (pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)])
}

/** The processes of a process group, wherever they hang in the tree. */
export function membersOf (group: number): number[] {
  return everyProcess().filter((pid) => fieldsOf(pid)[2] === `${group}`)
}

/** Every process that can be seen from here. */
export function everyProcess (): number[] {
  return list('/proc').filter((name) => /^\d+$/.test(name)).map(Number)
}

/** The parent of a process; 0 when it cannot be seen from here. */
export function parentOf (pid: number): number {
  return Number(fieldsOf(pid)[1] ?? 0)
}

/** The program and its arguments, each with a NUL behind it; empty when the process is gone. */
export function commandLineOf (pid: number): string {
  return read(`/proc/${pid}/cmdline`)
}

/** Whether it is process 1 of a namespace of processes that was made within ours. */
export function isFirstOfNamespace (pid: number): boolean {
  return /^NSpid:\t\d+(\t\d+)*\t1$/m.test(read(`/proc/${pid}/status`))
}

/** What these processes use now; those that are gone count nothing. */
export function usageOf (pids: readonly number[]): Usage {
  const each = pids.map(usageOfOne)
  return {
    rssBytes: each.reduce((sum, { rssBytes }) => sum + rssBytes, 0),
    cpuSeconds: each.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    processes: each.reduce((sum, { processes }) => sum + processes, 0),
    openFiles: each.reduce((sum, { openFiles }) => sum + openFiles, 0),
  }
}

/** Whether the process exists and is not merely waiting to be reaped. */
export function isAlive (pid: number): boolean {
  const state = fieldsOf(pid)[0]
  return state !== undefined && state !== 'Z' && state !== 'X'
}

/** CPU time in seconds of the children a process has reaped. */
export function reapedSeconds (pid: number): number {
  const fields = fieldsOf(pid)
  return (Number(fields[13] ?? 0) + Number(fields[14] ?? 0)) / ticksPerSecond
}

/** USER_HZ: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

function usageOfOne (pid: number): Usage {
  const status = read(`/proc/${pid}/status`)
  const fields = fieldsOf(pid)
  const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index] ?? 0), 0) // utime stime cutime cstime
  return { rssBytes: kilobytes(status, 'RssAnon') + kilobytes(status, 'RssShmem'), cpuSeconds: ticks / ticksPerSecond, processes: status === '' ? 0 : 1, openFiles: list(`/proc/${pid}/fd`).length }
}

function kilobytes (status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024
}

/** The fields of /proc/PID/stat from the state on: the name before it may hold spaces and parentheses. */
function fieldsOf (pid: number): string[] {
  const stat = read(`/proc/${pid}/stat`)
  return stat === '' ? [] : stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

function read (path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function list (path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
