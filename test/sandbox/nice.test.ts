import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Cell } from '../../src/sandbox/cell.ts'
import { childrenOf, descendantsOf } from '../../src/sandbox/processes.ts'
import { openSandbox } from '../../src/sandbox/sandbox.ts'
import { standBack } from '../../src/sandbox/rank.ts'
import { until } from '../support/gateway.ts'
import { specFor } from './cells.ts'

const sandbox = openSandbox('bubblewrap', { allowUnsandboxed: false })
const hasSessions = sessionOf(process.pid) !== undefined

t.test('sandbox.nice: every process of the server stands back, and nobody else', async (t) => {
  const [first, back] = await Promise.all([0, 19].map(async (nice) => await sandbox.spawn(specFor(['sh', '-c', 'sleep 600 & sleep 600'], { sandbox: { nice } }))))
  if (first === undefined || back === undefined) throw new Error('there are two')
  t.teardown(async () => { for (const cell of [first, back]) await cell.stop(0) })
  await until(() => [first, back].every((cell) => inside(cell).length >= 3), 30_000)
  t.same(inside(back).map(niceOf), inside(back).map(() => 19), 'every process in the cell has it, the first one too')
  t.same(inside(first).map(niceOf), inside(first).map(() => niceOf(process.pid)))
  if (!hasSessions) return
  await until(() => inside(back).every((pid) => sessionOf(pid) === 19), 30_000)
  t.same(inside(first).map(sessionOf), inside(first).map(() => 0), 'where the kernel shares a processor among sessions, what counts is that of the session')
  const standing = new Set(inside(back).map(nameOfSession))
  t.notOk(standing.has(nameOfSession(process.pid)) || inside(first).some((pid) => standing.has(nameOfSession(pid))), 'which is nobody else\'s')
})

t.test('a server cannot get around it, not with a session of its own either', { skip: hasSessions ? false : 'this kernel shares no processor among sessions' }, async (t) => {
  const cell = await sandbox.spawn(specFor(['sh', '-c', 'renice -n -5 -p $$; setsid sh -c "renice -n 0 -p \\$\\$; sleep 600" & wait'], { sandbox: { nice: 10 } }))
  t.teardown(async () => await cell.stop(0))
  await until(() => inside(cell).length >= 3, 30_000)
  await until(() => inside(cell).every((pid) => niceOf(pid) === 10 && sessionOf(pid) === 10), 30_000)
  t.ok(new Set(inside(cell).map(nameOfSession)).size >= 2, 'two sessions, and both stand back')
})

t.test('where there is nothing to say it to, nothing happens', (t) => {
  standBack([0, 2 ** 22], 10)
  t.end()
})

/** What runs in a cell, by the host's numbers: the upstream and what it started. */
function inside (cell: Cell): number[] {
  const [first] = childrenOf(cell.pid)
  return first === undefined ? [] : descendantsOf(first)
}

function niceOf (pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
}

function nameOfSession (pid: number): string | undefined {
  return text(pid).split(' ')[0]
}

function sessionOf (pid: number): number | undefined {
  const nice = /nice (-?\d+)/.exec(text(pid))?.[1]
  return nice === undefined ? undefined : Number(nice)
}

function text (pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/autogroup`, 'utf8')
  } catch {
    return ''
  }
}
