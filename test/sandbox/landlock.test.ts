import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

import { realHost } from '../../src/sandbox/host.ts'
import { landlockOptions } from '../../src/sandbox/landlock-options.ts'
import { childrenOf } from '../../src/sandbox/processes.ts'
import { openSandbox } from '../../src/sandbox/sandbox.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import { bait, escapes } from './bait.ts'
import { ask, eventually, fixtures, greeting, MiB, processesWith, run, specFor, writable } from './cells.ts'

const machine = realHost('/usr/local/bin:/usr/bin:/bin')
const mode = 'landlock'

/** A sandbox on a machine where `setpriv` is another program. */
function sandboxWith (setpriv: string | undefined): Sandbox {
  return openSandbox(mode, { allowUnsandboxed: false, host: { ...machine, tool: (name) => name === 'setpriv' ? setpriv : machine.tool(name) } })
}

function standIn (t: { testdir (): string }, script: string): string {
  const path = join(t.testdir(), 'setpriv')
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return path
}

/** Every file that lies in the folder of a cell. */
function filesOfCells (): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith('portcullis-cell-')).flatMap((name) => {
    const folder = join(tmpdir(), name)
    return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(folder, entry.name))
  })
}

const helpOfNew = 'if [ "$1" = --help ]; then echo "--landlock-access --landlock-rule --seccomp-filter --pdeathsig"; exit; fi'

t.test('the options of setpriv name every right of every place, and a root gateway gives its own up', async (t) => {
  const options = landlockOptions({
    system: [{ path: '/usr', isDirectory: true }, { path: '/etc/ld.so.cache', isDirectory: false }],
    mounts: [{ source: '/srv/a', target: '/srv/a', path: '/srv/a', isDirectory: true, write: true }, { source: '/srv/b', target: '/srv/b', path: '/srv/b', isDirectory: false, write: false }],
    scratch: ['/tmp/x/home'],
    filter: '/tmp/x/filter',
    user: { uid: 65534, gid: 65534 },
  })
  t.same(options.slice(0, 8), ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all', '--no-new-privs'])
  t.same(options.slice(-2), ['--seccomp-filter', '/tmp/x/filter'])
  t.same(options.filter((option) => option.startsWith('path-beneath:')), [
    'path-beneath:execute,read-file,read-dir:/usr',
    'path-beneath:execute,read-file:/etc/ld.so.cache',
    'path-beneath:execute,read-file,read-dir,write-file,truncate,remove-dir,remove-file,make-dir,make-reg,make-fifo,make-sym,refer:/srv/a',
    'path-beneath:execute,read-file:/srv/b',
    'path-beneath:execute,read-file,read-dir,write-file,truncate,remove-dir,remove-file,make-dir,make-reg,make-fifo,make-sym,refer:/tmp/x/home',
    'path-beneath:read-file,write-file:/dev/null', 'path-beneath:read-file,write-file:/dev/zero', 'path-beneath:read-file,write-file:/dev/full',
    'path-beneath:read-file:/dev/random', 'path-beneath:read-file:/dev/urandom',
    'path-beneath:execute,read-file,read-dir:/proc/self',
  ])
})

t.test('a setpriv that is too old, missing, or on a kernel without Landlock starts nothing, and the message says what to do', async (t) => {
  const hosts: [name: string, setpriv: string | undefined, refusal: object][] = [
    ['too old', standIn(t, 'echo "--reuid --seccomp-filter"'), { reason: /too old for mode: landlock: it does not know --landlock-access/, hint: /util-linux 2\.41/ }],
    ['missing', undefined, { reason: /setpriv is not installed/, hint: /^Install it: .*util-linux$/ }],
    ['no Landlock', standIn({ testdir: () => writable(tmpdir(), `portcullis-test-${process.pid}`) }, `${helpOfNew}\necho "setpriv: landlock_create_ruleset failed: Operation not supported" >&2; exit 1`), { reason: /landlock_create_ruleset failed/, hint: /lsm=/ }],
    ['one that confines nothing', standIn({ testdir: () => writable(tmpdir(), `portcullis-test-${process.pid}-liar`) }, `${helpOfNew}\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"`), { reason: /system call filter is not in force.*a port of the host can be reached.*a file of the host can be read/ }],
  ]
  for (const [name, setpriv, refusal] of hosts) {
    const sandbox = sandboxWith(setpriv)
    t.match(await sandbox.selfTest(), { ok: false, ...refusal }, name)
    const witness = join(writable(tmpdir(), `portcullis-test-${process.pid}-witness`), 'started')
    await t.rejects(sandbox.spawn(specFor(['touch', witness], { sandbox: { mode } })), { name: 'SandboxError' }, name)
    t.notOk(existsSync(witness), `${name}: nothing was started`)
  }
})

/** Stands for a gateway that is killed. */
const gatewayScript = fileURLToPath(new URL('gateway.ts', import.meta.url))

/** One that is new enough: that of the machine, or the one that .ci/run fetches. */
const setpriv = process.env['TEST_SETPRIV'] ?? machine.tool('setpriv')
const real = sandboxWith(setpriv)
const tested = await real.selfTest()

t.test('a real cell under Landlock', async (t) => {
  if (!tested.ok) return t.equal(process.env['TEST_SETPRIV'], undefined, `this machine has none (${tested.reason}): .ci/run fetches a newer setpriv and runs this`)
  const folder = writable(t.testdir(), 'data')
  const sandbox = { mode, write: [{ source: folder, target: folder }] } as const

  await t.test('a published server works in it, and files out of it are refused', async (t) => {
    const cell = await real.spawn(specFor(['npx', '-y', '@modelcontextprotocol/server-filesystem', folder], { sandbox }))
    t.match(await ask(cell, 'initialize', greeting), { serverInfo: { name: 'secure-filesystem-server' } })
    t.ok((cell.lacks ?? []).length > 3, 'and it says what it is not held to')
    await cell.stop(5_000)
    const { stdout, stderr } = await run(real, specFor(['sh', '-c', `echo in > ${folder}/x; cat ${folder}/x; cat /etc/passwd; echo "$HOME $TMPDIR"; echo y > "$TMPDIR/y" && cat "$TMPDIR/y"`], { sandbox }))
    const [written, places, temporary] = stdout.trim().split('\n')
    t.match([written, temporary], ['in', 'y'])
    t.match(stderr, /\/etc\/passwd: Permission denied/)
    for (const place of places?.split(' ') ?? []) t.notOk(existsSync(place), `${place} went with the cell`)
  })

  await t.test('of all probes only those get out that the documentation names', async (t) => {
    const targets = await bait(t, 'landlock')
    const { grant, readOnlyGrant } = targets
    const cell = await real.spawn(specFor(['node', join(fixtures, 'probe.mjs')], { sandbox: { mode, processes: 256, write: [{ source: grant, target: grant }], read: [{ source: readOnlyGrant, target: readOnlyGrant }] } }))
    t.teardown(() => cell.kill())
    const got = escapes(t, await ask(cell, 'tools/call', { name: 'run_probe', arguments: targets })).map((line) => line.split(':')[0])
    // an ordinary user's gateway shares that user with its cells
    const named = ['knows the name of the host', 'has a route to somewhere', 'starts 100 processes', ...(process.getuid?.() === 0 ? [] : ['may signal the gateway'])]
    t.same(got.filter((name) => !named.includes(name ?? '')), [])
  })

  await t.test('its environment is what the config names, acts inside only, and is in no command line and no file', async (t) => {
    const { stdout, stderr } = await run(real, specFor(['sh', '-c', 'env'], { env: { LD_DEBUG: 'libs', TOKEN: "it's $HOME" }, sandbox: { mode } })) // the loader names each program it starts
    t.same(stdout.trim().split('\n').map((line) => line.split('=')[0]).sort(), ['HOME', 'LANG', 'LD_DEBUG', 'LOGNAME', 'PATH', 'PWD', 'TMPDIR', 'TOKEN', 'USER'])
    t.match(stdout, /^TOKEN=it's \$HOME$/m)
    t.same([...stderr.matchAll(/initialize program: (\S+)/g)].map(([, program]) => program), ['/usr/bin/prlimit', '/usr/bin/sh', 'env'])
    const secret = `secret-${Math.random()}`
    const cell = await real.spawn(specFor(['sleep', '60'], { env: { TOKEN: secret }, sandbox: { mode } }))
    t.same(processesWith(secret), [])
    t.not(filesOfCells().length, 0)
    t.same(filesOfCells().filter((file) => readFileSync(file, 'utf8').includes(secret)), [])
    await cell.stop(0)
  })

  /** Leaves a daemon behind, out of its session as far as it is let, and away from its parent. */
  const daemon = (mark: string): string[] => ['/usr/bin/python3', '-c', `
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv('/usr/bin/sleep', ['sleep', '${mark}'])
    os._exit(0)
os.wait()
print('ready', flush=True)
time.sleep(3600)`]
  const mark = (): string => `${3600 + Math.random()}`

  for (const [how, end] of [
    ['stop', (cell: { stop (ms: number): Promise<void> }) => cell.stop(100)],
    ['kill', (cell: { kill (): void }) => { cell.kill() }],
    ['SIGKILL of its outermost process', (cell: { pid: number }) => { process.kill(cell.pid, 'SIGKILL') }],
  ] as const) {
    await t.test(`${how} ends a daemon, too`, async (t) => {
      const sleeper = mark()
      const cell = await real.spawn(specFor(daemon(sleeper), { sandbox: { mode } }))
      await once(cell.stdout, 'data')
      t.ok(await eventually(() => processesWith(`sleep\0${sleeper}`).length === 1), 'the daemon runs')
      await end(cell)
      await cell.exited
      t.same(processesWith(sleeper), [])
    })
  }

  for (const [when, before] of [
    ['is killed', () => {}],
    ['is killed before it heard that the server ended', async (gateway: ChildProcess, sleeper: string) => {
      const outermost = childrenOf(gateway.pid ?? 0).filter((pid) => processesWith(sleeper).includes(pid))
      const [server = 0] = outermost.flatMap(childrenOf)
      gateway.kill('SIGSTOP')
      process.kill(server, 'SIGKILL')
      t.ok(await eventually(() => !existsSync(`/proc/${server}`)), 'the server has ended')
    }],
  ] as const) {
    await t.test(`nothing survives a gateway that ${when}`, async (t) => {
      const sleeper = mark()
      const gateway = spawn(process.execPath, [...process.execArgv, gatewayScript, ...daemon(sleeper)], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, TEST_SANDBOX: mode, TEST_SETPRIV: setpriv } })
      t.teardown(() => { for (const pid of processesWith(sleeper)) process.kill(pid, 'SIGKILL') })
      await once(gateway.stdout, 'data')
      t.ok(await eventually(() => processesWith(`sleep\0${sleeper}`).length === 1), 'the daemon runs')
      await before(gateway, sleeper)
      gateway.kill('SIGKILL')
      t.ok(await eventually(() => processesWith(sleeper).length === 0))
    })
  }

  await t.test('what a gateway had under way that is killed before the kernel ties it to the gateway never begins', async (t) => {
    const sleeper = mark()
    const kills = standIn(t, `case "$*" in --pdeathsig*${sleeper}*) kill -KILL $PPID; while kill -0 $PPID; do sleep 0.01; done 2>/dev/null; esac\nexec ${setpriv} "$@"`)
    const folders = writable(tmpdir(), `portcullis-test-${process.pid}-folders`)
    t.teardown(() => { rmSync(folders, { recursive: true }); for (const pid of processesWith(sleeper)) process.kill(pid, 'SIGKILL') })
    const gateway = spawn(process.execPath, [...process.execArgv, gatewayScript, ...daemon(sleeper)], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, TEST_SANDBOX: mode, TEST_SETPRIV: kills, TMPDIR: folders } })
    t.same(await once(gateway, 'exit'), [null, 'SIGKILL'])
    t.ok(await eventually(() => readdirSync(folders).every((name) => !name.startsWith('portcullis-cell-'))), 'no directory is left')
    t.ok(await eventually(() => processesWith(sleeper).length === 0), 'and no process')
  })

  await t.test('a cell over its memory limit is killed, and says so', async (t) => {
    const cell = await real.spawn(specFor(['/usr/bin/python3', '-c', 'hog = bytearray(b"x" * (120 << 20)); import time; time.sleep(3600)'], { sandbox: { mode, memory: 64 * MiB } }))
    t.match(await cell.exited, { reason: 'memory', detail: /limit is 64 MiB/ })
  })

  t.notOk(readdirSync(tmpdir()).some((name) => name.startsWith('portcullis-cell-')), 'no directory of a cell is left')
})
