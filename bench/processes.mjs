// CPU time and memory of a contender's processes, from /proc.
//
// The process that was started is the gateway (all of its threads, none of its children). What it started is told apart:
// a database, or the upstream with the sandbox around it. A database that was there before belongs to a contender by
// its name, which the backends carry in their command line.
import { readdirSync, readFileSync } from 'node:fs'

/** CPU and memory cannot be told without /proc. */
export const measurable = process.platform === 'linux'

export const roles = ['gateway', 'database', 'upstream']

const tickMicroseconds = 10_000

/** Map pid → { role, cpu (µs since its start), rss (MiB) } of everything that belongs to the contender. */
export function sample ({ root, database }) {
  if (!measurable) return new Map()
  const found = new Map()
  for (const [pid, command] of family(root, database)) {
    const role = pid === root ? 'gateway' : isPostgres(command) ? 'database' : 'upstream'
    found.set(pid, { role, cpu: cpuOf(pid), rss: rssOf(pid) })
  }
  return found
}

/** CPU microseconds between two samples, by role. What started in between counts in full. */
export function spent (before, after) {
  const sum = { gateway: 0, database: 0, upstream: 0 }
  for (const [pid, { role, cpu }] of after) sum[role] += Math.max(0, cpu - (before.get(pid)?.cpu ?? 0))
  return sum
}

/** MiB in a sample, by role, and how many processes that is. */
export function memory (sampled) {
  const sum = Object.fromEntries(roles.map((role) => [role, { rss: 0, processes: 0 }]))
  for (const { role, rss } of sampled.values()) {
    sum[role].rss += rss
    sum[role].processes++
  }
  return sum
}

/** CPU microseconds of one process, all threads, in nanosecond steps where the kernel keeps them. */
export function cpuOf (pid) {
  const threads = list(`/proc/${pid}/task`).map((thread) => read(`/proc/${pid}/task/${thread}/schedstat`))
  if (threads.length > 0 && threads.every((text) => text !== '')) return threads.reduce((sum, text) => sum + Number(text.split(' ', 1)[0]), 0) / 1000
  const fields = statOf(pid)
  return fields === undefined ? 0 : (Number(fields[11]) + Number(fields[12])) * tickMicroseconds
}

/** CPU microseconds of the whole machine: { total, busy }. */
export function machine () {
  if (!measurable) return { total: 0, busy: 0 }
  const fields = read('/proc/stat').split('\n', 1)[0].trim().split(/\s+/).slice(1, 9).map((ticks) => Number(ticks) * tickMicroseconds)
  const total = fields.reduce((sum, part) => sum + part, 0)
  return { total, busy: total - fields[3] - fields[4] }
}

/** Pids of a process and all that descend from it, the process first. */
export function descendants (root) {
  return measurable ? tree(root, children()) : [root]
}

function family (root, database) {
  const pids = new Set(tree(root, children()))
  const members = [...pids].map((pid) => [pid, commandOf(pid)])
  if (database === undefined) return members
  const backends = numbered('/proc').filter((pid) => !pids.has(pid)).map((pid) => [pid, commandOf(pid)])
  return [...members, ...backends.filter(([, command]) => isPostgres(command) && command.includes(` ${database} `))]
}

function children () {
  const found = new Map()
  for (const pid of numbered('/proc')) {
    const parent = Number(statOf(pid)?.[1] ?? 0)
    if (!found.has(parent)) found.set(parent, [])
    found.get(parent).push(pid)
  }
  return found
}

function tree (root, childrenOf) {
  return [root, ...(childrenOf.get(root) ?? []).flatMap((pid) => tree(pid, childrenOf))]
}

/** Backends rename themselves to "postgres: …"; the server itself runs a file of that name. */
function isPostgres (command) {
  return command.startsWith('postgres:') || /^\S*\/postgres(\s|$)/.test(command)
}

/** The fields of /proc/PID/stat after the process name, which may hold anything. */
function statOf (pid) {
  const text = read(`/proc/${pid}/stat`)
  return text === '' ? undefined : text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function commandOf (pid) {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')
}

function rssOf (pid) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024
}

function numbered (directory) {
  return list(directory).filter((name) => /^\d+$/.test(name)).map(Number)
}

/** Processes end while they are looked at: what is gone reads as nothing. */
function read (path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function list (path) {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
