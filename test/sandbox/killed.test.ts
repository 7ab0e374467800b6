import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { stringify } from 'yaml'
import { leashed } from '../../src/sandbox/leash.ts'
import { childrenOf, descendantsOf, isFirstOfNamespace, parentOf } from '../../src/sandbox/processes.ts'
import { adminPassword, fixtures, freePort, until } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'
import { connectAdmin, loginAdmin, ready, serve } from '../support/serve.ts'
import { eventually, machineSandbox, processesWith, specFor } from './cells.ts'

const sessions = 8

t.test('T47: kill -9 of a gateway that serves many clients, with servers starting and daemons beside them, leaves no process of any', async (t) => {
  const marks = { one: `${3600 + Math.random()}`, other: `${3600 + Math.random()}` }
  const upstream = (mark: string): object => ({ command: ['sh', join(fixtures, 'daemons.sh'), mark], isolation: 'session' })
  const folder = t.testdir({ 'upstreams.yaml': stringify({ upstreams: { one: upstream(marks.one), other: upstream(marks.other) }, limits: [] }) })
  chmodSync(folder, 0o755)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const gateway = serve(t, ['--config', join(folder, 'upstreams.yaml')], { PORT: `${port}`, METRICS_PORT: `${await freePort()}`, PORTCULLIS_DATA: join(folder, 'data'), PORTCULLIS_ADMIN_PASSWORD: adminPassword, DATABASE_URL: (await testDatabase(t)).url })
  await ready(url, gateway)

  const token = await loginAdmin(url)
  const answered: number[] = []
  const load = async (path: string, turn: number): Promise<void> => {
    const client = await connectAdmin(t, url, path, token)
    for (;;) {
      await client.callTool({ name: 'pid', arguments: {} })
      answered[turn] = (answered[turn] ?? 0) + 1
    }
  }
  const newcomers = async (): Promise<void> => { for (let turn = 0; turn < 30; turn++) await (await connectAdmin(t, url, '/mcp/one', token)).callTool({ name: 'pid', arguments: {} }) }
  const under = Promise.allSettled([newcomers(), ...Array.from({ length: sessions }, async (_, turn) => await load(turn % 2 === 0 ? '/mcp/one' : '/mcp/other', turn))])
  await until(() => answered.filter((calls) => calls > 2).length === sessions, 120_000)
  const before = descendantsOf(gateway.process.pid ?? 0).map((pid) => ({ pid, begun: begunAt(pid) }))
  t.ok(before.length > sessions * 4, `${before.length} processes hang on the gateway`)
  for (const mark of Object.values(marks)) t.ok(processesWith(`sleep\0${mark}`).length >= sessions, 'daemons among them')

  gateway.process.kill('SIGKILL')
  t.equal(await gateway.ended, 'SIGKILL')
  await until(() => Object.values(marks).every((mark) => builtWith(mark).length === 0), 30_000)
  t.same(before.filter(({ pid, begun }) => begun !== undefined && begunAt(pid) === begun && !waits(pid)), [], 'none of them is left')
  await under
})

/** Processes of cells that were built. A bwrap whose other half was killed before they began waits for it, and for nothing else. */
function builtWith (mark: string): number[] {
  return processesWith(mark).filter((pid) => !waits(pid))
}

/** A bwrap that is waiting for its other half to begin: it has started nothing. */
function waits (pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8') === 'bwrap\n' && childrenOf(pid).length === 0
  } catch {
    return true // it is gone
  }
}

/** When a process began, in ticks; undefined when it is gone or only waits to be reaped. The same number may be another process later. */
function begunAt (pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

for (const [mode, turns] of [['bubblewrap', 25], ['landlock', 15]] as const) {
  t.test(`T47: kill -9 of a gateway while cells are being built leaves none of them, whenever it comes (${mode})`, async (t) => {
    const tested = await machineSandbox(mode).selfTest()
    if (mode === 'landlock' && !tested.ok) return t.equal(process.env['TEST_SETPRIV'], undefined, `this machine has none (${tested.reason}): .ci/run fetches a newer setpriv and runs this`)
    const mark = `${3600 + Math.random()}`
    const env = { ...process.env, TMPDIR: t.testdir() } // what such a gateway could not remove
    for (let turn = 0; turn < turns; turn++) {
      const child = spawn(process.execPath, [join(fixtures, 'starts-cells.mjs'), mode, mark, '6'], { stdio: ['ignore', 'pipe', 'inherit'], env })
      await once(child.stdout, 'data')
      await sleep(Math.random() * 40)
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    t.teardown(() => { for (const pid of processesWith(mark)) process.kill(pid, 'SIGKILL') })
    t.ok(await eventually(() => builtWith(mark).length === 0), `${builtWith(mark).length} processes are left`)
    const waiting = (): number[] => processesWith(mark).filter((pid) => isFirstOfNamespace(pid) && !processesWith(mark).includes(parentOf(pid)))
    t.ok(await eventually(() => waiting().length === processesWith(mark).length), `${waiting().length} wait for their other half`)
    await machineSandbox(mode).selfTest()
    t.ok(await eventually(() => processesWith(mark).length === 0), 'the next gateway ends them')
  })
}

t.test('a gateway that starts ends a bwrap that waits for one that is dead, and leaves alone what another gateway has or is about to have', async (t) => {
  const mark = `${3600 + Math.random()}`
  const start = async (): Promise<void> => { t.match(await machineSandbox('bubblewrap').selfTest(), { ok: true }) }
  const cell = await machineSandbox('bubblewrap').spawn(specFor(['sh', '-c', 'echo up; cat']))
  const built = spawn('/usr/bin/bwrap', ['--unshare-user', '--unshare-pid', '--info-fd', '1', '--userns-block-fd', '0', '--ro-bind', '/', '/', '--', ...leashed(['sleep', mark], 3)], { stdio: ['pipe', 'ignore', 'inherit'] })
  t.teardown(() => { cell.kill(); built.kill('SIGKILL'); for (const pid of processesWith(mark)) process.kill(pid, 'SIGKILL') })
  await once(cell.stdout, 'data')
  t.ok(await eventually(() => processesWith(mark).length === 2), 'one waits for the other, which waits for us')
  await start()
  t.equal(processesWith(mark).length, 2, 'both are there')
  cell.stdin.write('still\n')
  t.match(await once(cell.stdout, 'data'), [/still/], 'as is a cell that runs')
  built.kill('SIGKILL')
  await once(built, 'exit')
  t.equal(processesWith(mark).length, 1, 'one is left')
  await start()
  t.ok(await eventually(() => processesWith(mark).length === 0), 'until a gateway starts')
})
