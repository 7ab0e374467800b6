import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

import { dockerOptions, environmentFile } from '../../src/sandbox/docker-options.ts'
import { realHost } from '../../src/sandbox/host.ts'
import { openSandbox } from '../../src/sandbox/sandbox.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import { ask, eventually, greeting, MiB, run, specFor } from './cells.ts'

const machine = realHost('/usr/local/bin:/usr/bin:/bin')
const limits = { memory: 512 * MiB, processes: 64, fileSize: 256 * MiB, openFiles: 1024, tmp: 64 * MiB, nice: 0 }
const sandboxed = { mode: 'docker', image: 'node:24-slim' } as const

function sandboxWith (docker: string | undefined): Sandbox {
  return openSandbox('docker', { allowUnsandboxed: false, host: { ...machine, tool: (name) => name === 'docker' ? docker : machine.tool(name) } })
}

/** A command line that answers like docker in front of an engine that runs `run`. */
function engine (folder: string, run: string): string {
  const path = join(folder, 'docker')
  writeFileSync(path, `#!/bin/sh
case $1 in
  info) echo '28.1.1 ["name=apparmor","name=seccomp,profile=builtin"]';;
  rm) echo "$@" >> ${folder}/removed; kill $(cat ${folder}/pid);;
  run) echo $$ > ${folder}/pid; printf '%s\\n' "$@" > ${folder}/arguments; cat /dev/fd/3 > ${folder}/environment; while [ "$1" != node:24-slim ]; do shift; done; shift; ${run};;
esac
`, { mode: 0o755 })
  return path
}

t.test('the arguments of docker: nothing but what is granted, no network, no rights, every limit', async (t) => {
  t.same(dockerOptions({
    name: 'portcullis-files-1',
    image: 'node:24-slim',
    command: ['node', '/app/server.mjs', '--flag'],
    cwd: undefined,
    environment: '/dev/fd/3',
    mounts: [{ source: '/srv/handbook', target: '/handbook', write: false }, { source: '/srv/files', target: '/data', write: true }],
    user: { uid: 1001, gid: 1002 },
    sandbox: limits,
  }), [
    'run', '--interactive', '--rm', '--init', '--pull', 'never', '--name', 'portcullis-files-1', '--label', 'portcullis',
    '--network', 'none', '--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--ipc', 'none', '--log-driver', 'none',
    '--user', '1001:1002',
    '--tmpfs', '/tmp:rw,noexec,nosuid,nodev,size=67108864,mode=1777', '--tmpfs', '/home/mcp:rw,noexec,nosuid,nodev,size=67108864,uid=1001,gid=1002,mode=0700',
    '--memory', '536870912', '--memory-swap', '536870912', '--pids-limit', '64',
    '--ulimit', 'fsize=268435456', '--ulimit', 'nofile=1024', '--ulimit', 'core=0',
    '--mount', 'type=bind,source=/srv/handbook,target=/handbook,readonly', '--mount', 'type=bind,source=/srv/files,target=/data',
    '--env', 'HOME=/home/mcp', '--env', 'TMPDIR=/tmp', '--env-file', '/dev/fd/3',
    '--workdir', '/home/mcp',
    'node:24-slim', 'node', '/app/server.mjs', '--flag',
  ])
})

t.test('a server that stands back gets the shares that the kernel weighs its nice value with', async (t) => {
  const container = { name: 'n', image: 'i', command: [], cwd: undefined, environment: '/dev/fd/3', user: { uid: 1, gid: 1 }, mounts: [] }
  for (const [nice, shares] of [[5, '336'], [19, '15']] as const) {
    const options = dockerOptions({ ...container, sandbox: { ...limits, nice } })
    t.equal(options[options.indexOf('--cpu-shares') + 1], shares)
  }
})

t.test('what docker would read as something else is refused', async (t) => {
  t.equal(environmentFile({ TOKEN: 'a b=c', EMPTY: '' }), 'TOKEN=a b=c\nEMPTY=\n')
  t.throws(() => environmentFile({ TOKEN: 'a\nLD_PRELOAD=/x' }), { message: /TOKEN has several lines/ })
  const container = { name: 'n', image: 'i', command: [], cwd: undefined, environment: '/dev/fd/3', user: { uid: 1, gid: 1 }, sandbox: limits }
  for (const name of ['/srv/a,readonly=false', '/srv/a"', '/srv/a\n']) t.throws(() => dockerOptions({ ...container, mounts: [{ source: name, target: '/data', write: false }] }), { message: /cannot be mounted by docker/ }, name)
})

t.test('without an engine nothing starts, and the message says what to do', async (t) => {
  const folder = t.testdir()
  const says = (text: string): string => {
    const path = join(folder, `docker-${text.length}`)
    writeFileSync(path, `#!/bin/sh\necho "${text}" >&2; exit 1\n`, { mode: 0o755 })
    return path
  }
  const hosts: [docker: string | undefined, refusal: object][] = [
    [undefined, { reason: /docker is not installed/, hint: /Install/ }],
    [says('Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?'), { reason: /does not answer: Cannot connect/, hint: /systemctl start docker/ }],
    [says('permission denied while trying to connect to the docker API'), { hint: /root on this host/ }],
    ['/bin/echo', { reason: /does not filter system calls/ }],
  ]
  for (const [docker, refusal] of hosts) {
    const sandbox = sandboxWith(docker)
    t.match(await sandbox.selfTest(), { ok: false, ...refusal })
    await t.rejects(sandbox.spawn(specFor(['true'], { sandbox: sandboxed })), { name: 'SandboxError' })
  }
})

t.test('the docker command line of this machine, which has no engine behind it, is refused with the reason', async (t) => {
  const docker = machine.tool('docker')
  if (docker === undefined || existsSync('/var/run/docker.sock')) return t.pass('there is no docker here, or an engine')
  t.match(await sandboxWith(docker).selfTest(), { ok: false, reason: /The Docker engine does not answer: /, hint: /systemctl start docker/ })
})

t.test('the life of a container: its environment is in no command line, stop and kill remove it, a failure is explained', async (t) => {
  await t.test('it answers, and ends when its stdin is closed', async (t) => {
    const folder = t.testdir()
    const sandbox = sandboxWith(engine(folder, `exec ${process.execPath} -e 'process.stdin.on("data", () => console.log(JSON.stringify({ jsonrpc: "2.0", id: 1, result: { serverInfo: { name: "contained" } } })))'`))
    const cell = await sandbox.spawn(specFor(['server'], { env: { TOKEN: 'secret' }, sandbox: sandboxed }))
    t.match(await ask(cell, 'initialize', greeting), { serverInfo: { name: 'contained' } })
    t.ok(cell.lacks?.some((text) => text.includes('Docker\'s profile')))
    t.equal(readFileSync(join(folder, 'environment'), 'utf8'), 'TOKEN=secret\n')
    t.notMatch(readFileSync(join(folder, 'arguments'), 'utf8'), /secret/)
    await cell.stop(30_000)
    t.match(await cell.exited, { code: 0 })
  })

  await t.test('kill removes the container by its name', async (t) => {
    const folder = t.testdir()
    const cell = await sandboxWith(engine(folder, 'echo up; exec sleep 3600')).spawn(specFor(['server'], { sandbox: sandboxed }))
    await once(cell.stdout, 'data')
    const name = /--name\n(portcullis-test-[0-9a-f-]{36})\n/.exec(readFileSync(join(folder, 'arguments'), 'utf8'))?.[1]
    cell.kill()
    await cell.exited
    t.ok(await eventually(() => existsSync(join(folder, 'removed')) && readFileSync(join(folder, 'removed'), 'utf8').includes(`rm --force ${name}`)))
  })

  await t.test('an image that is not there is not downloaded', async (t) => {
    const exit = await run(sandboxWith(engine(t.testdir(), 'echo "docker: Error response from daemon: No such image: node:24-slim" >&2; exit 125')), specFor(['server'], { sandbox: sandboxed }))
    t.match(exit, { reason: 'sandbox', detail: /could not be made: .*No such image.*docker pull/ })
  })
})
