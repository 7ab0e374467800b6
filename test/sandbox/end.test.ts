import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'

import { openSandbox } from '../../src/sandbox/sandbox.ts'
import { eventually, MiB, processesWith, run, specFor } from './cells.ts'

const sandbox = openSandbox('bubblewrap', { allowUnsandboxed: false })
const python = '/usr/bin/python3'
/** Arguments that run the stand-in for a gateway process, TypeScript and all. */
const gateway = [...process.execArgv, fileURLToPath(new URL('gateway.ts', import.meta.url))]

t.test('how a cell ends', async (t) => {
  /** Leaves a daemon behind, out of its session and away from its parent; says what its descriptor 20 is. */
  const daemon = (mark: string): string[] => [python, '-c', `
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        os.execv('/usr/bin/sleep', ['sleep', '${mark}'])
    os._exit(0)
os.wait()
print('ready', os.path.exists('/proc/self/fd/20') and os.readlink('/proc/self/fd/20') or 'nothing', flush=True)
time.sleep(3600)`]
  const mark = (): string => `${3600 + Math.random()}`

  t.test('the exit code is the command\'s, and what it wrote last can be read', async (t) => {
    const { code, signal, reason, stdout } = await run(sandbox, specFor(['sh', '-c', 'echo last words; exit 7']))
    t.same({ code, signal, reason, stdout }, { code: 7, signal: null, reason: undefined, stdout: 'last words\n' })
  })

  t.test('stop closes stdin first, and a server that listens to it ends by itself', async (t) => {
    const cell = await sandbox.spawn(specFor(['cat']))
    await cell.stop(30_000)
    t.match(await cell.exited, { code: 0, signal: null })
  })

  t.test('stop then sends SIGTERM to the program itself', async (t) => {
    const cell = await sandbox.spawn(specFor(['node', '-e', 'process.on("SIGTERM", () => process.exit(9)); setInterval(() => {}, 1000); console.log("ready")']))
    await once(cell.stdout, 'data')
    await cell.stop(3_000)
    t.match(await cell.exited, { code: 9 })
  })

  for (const [how, end] of [
    ['stop kills what does not listen, and a daemon that left its parent', (cell: { stop (ms: number): Promise<void> }) => cell.stop(100)],
    ['kill ends it with every descendant', (cell: { kill (): void }) => { cell.kill() }],
    ['SIGKILL of its outermost process ends every descendant', (cell: { pid: number }) => { process.kill(cell.pid, 'SIGKILL') }],
  ] as const) {
    t.test(how, async (t) => {
      const sleeper = mark()
      const cell = await sandbox.spawn(specFor(daemon(sleeper)))
      await once(cell.stdout, 'data')
      t.ok(await eventually(() => processesWith(`sleep\0${sleeper}`).length === 1), 'the daemon runs')
      await end(cell)
      const exit = await cell.exited
      t.equal(exit.reason, undefined)
      t.same(processesWith(sleeper), [])
      await cell.stop(1_000)
    })
  }

  t.test('nothing survives a gateway that is killed, and what it inherited by mistake it did not pass on', async (t) => {
    const sleeper = mark()
    const holes = Array<'ignore'>(17).fill('ignore')
    const child = spawn(process.execPath, [...gateway, ...daemon(sleeper)], { stdio: ['pipe', 'pipe', 'inherit', ...holes, 'pipe'] })
    const [output] = await once(child.stdout as NodeJS.ReadableStream, 'data') as [Buffer]
    t.match(output.toString(), /^ready (nothing|\/dev\/null)\n$/)
    t.ok(await eventually(() => processesWith(`sleep\0${sleeper}`).length === 1), 'the daemon runs')
    child.kill('SIGKILL')
    t.ok(await eventually(() => processesWith(sleeper).length === 0))
  })

  t.test('a cell over its memory limit is killed, and says so', async (t) => {
    const cell = await sandbox.spawn(specFor([python, '-c', 'hog = bytearray(b"x" * (120 << 20)); import time; time.sleep(3600)'], { sandbox: { memory: 64 * MiB } }))
    const exit = await cell.exited
    t.equal(exit.reason, 'memory')
    t.match(exit.detail, /limit is 64 MiB/)
  })

  t.test('usage counts the whole tree', async (t) => {
    const cell = await sandbox.spawn(specFor(['sh', '-c', 'sleep 60 & sleep 60 & echo ready; wait']))
    await once(cell.stdout, 'data')
    for (let tries = 0; tries < 100 && (await cell.usage()).processes < 3; tries++) await sleep(20)
    const usage = await cell.usage()
    t.equal(usage.processes, 3)
    t.ok(usage.openFiles >= 9 && usage.openFiles < 60, `${usage.openFiles} open files: standard input, output and error of each`)
    t.ok(usage.rssBytes > 0 && usage.rssBytes < 16 * MiB, `${usage.rssBytes} bytes`)
    cell.kill()
    await cell.exited
  })

  t.test('a program that is not there inside says so through its exit, not by hanging', async (t) => {
    const { code, reason } = await run(sandbox, specFor(['sh', '-c', 'exec /nowhere/program']))
    t.same({ code, reason }, { code: 127, reason: undefined })
  })
})

t.test('without a sandbox', async (t) => {
  t.throws(() => openSandbox('none', { allowUnsandboxed: false }), { message: /--allow-unsandboxed/ })
  const none = openSandbox('none', { allowUnsandboxed: true })
  const mode = { mode: 'none' } as const

  t.test('the environment is still clean, and there is no shell', async (t) => {
    process.env['PORTCULLIS_TEST_SECRET'] = 'secret'
    const { stdout } = await run(none, specFor(['node', '-e', 'console.log(JSON.stringify([process.argv[1], Object.keys(process.env)]))', '$HOME; ls'], { env: { TOKEN: 'x' }, sandbox: mode }))
    const [argument, names] = JSON.parse(stdout) as [string, string[]]
    t.equal(argument, '$HOME; ls')
    t.same(names.filter((name) => !/TAP|^NODE_OPTIONS$/.test(name)).sort(), ['HOME', 'LANG', 'PATH', 'TMPDIR', 'TOKEN'])
  })

  t.test('stop ends the process group', async (t) => {
    const sleeper = `${3600 + Math.random()}`
    const cell = await none.spawn(specFor(['sh', '-c', `sleep ${sleeper} & echo ready; trap "" TERM; while true; do sleep 1; done`], { sandbox: mode }))
    await once(cell.stdout, 'data')
    await cell.stop(100)
    t.same(processesWith(sleeper), [])
  })
})
