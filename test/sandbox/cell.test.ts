import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

import { openSandbox } from '../../src/sandbox/sandbox.ts'
import { ask, fixtures, greeting, processesWith, run, specFor, writable } from './cells.ts'

const sandbox = openSandbox('bubblewrap', { allowUnsandboxed: false })
const python = '/usr/bin/python3'

t.test('what a cell sees', async (t) => {
  t.test('the environment is what the config names and nothing of the gateway\'s', async (t) => {
    process.env['PORTCULLIS_TEST_SECRET'] = 'secret'
    const { stdout } = await run(sandbox, specFor(['sh', '-c', 'env'], { env: { TOKEN: 'mine', EMPTY: '' } }))
    const names = stdout.trim().split('\n').map((line) => line.split('=')[0]).sort()
    t.same(names, ['EMPTY', 'HOME', 'LANG', 'LOGNAME', 'PATH', 'PWD', 'TMPDIR', 'TOKEN', 'USER'])
    t.match(stdout, /^TOKEN=mine$/m)
  })

  t.test('what the config tells the loader acts on the programs inside only', async (t) => {
    const { stderr } = await run(sandbox, specFor(['sh', '-c', 'true'], { env: { LD_DEBUG: 'libs' } })) // the loader then names each program it starts
    const programs = [...stderr.matchAll(/initialize program: (\S+)/g)].map(([, program]) => program)
    t.same(programs, ['/bin/sh', '/usr/bin/prlimit', '/usr/bin/sh'])
  })

  t.test('an env value is not in the command line of any process of the host', async (t) => {
    const secret = `secret-${Math.random()}`
    const cell = await sandbox.spawn(specFor(['sleep', '60'], { env: { TOKEN: secret } }))
    t.same(processesWith(secret), [])
    cell.kill()
    await cell.exited
  })

  t.test('a writable grant is written on the host, a read-only one is not, and one file alone can be granted', async (t) => {
    const host = t.testdir({ 'one.txt': 'one' })
    const [write, read] = [writable(host, 'write'), writable(host, 'read')]
    writeFileSync(join(read, 'in.txt'), 'from the host')
    const script = 'cat /read/in.txt /file > /write/out.txt; echo x > /read/no.txt; echo x > /file; cat /write/out.txt'
    const { stdout, stderr } = await run(sandbox, specFor(['sh', '-c', script], {
      sandbox: {
        write: [{ source: write, target: '/write' }],
        read: [{ source: read, target: '/read' }, { source: join(host, 'one.txt'), target: '/file' }],
      }
    }))
    t.equal(stdout, 'from the hostone')
    t.equal(readFileSync(join(write, 'out.txt'), 'utf8'), 'from the hostone')
    t.notOk(existsSync(join(read, 'no.txt')))
    t.equal(stderr.match(/Read-only file system/g)?.length, 2)
  })

  t.test('a writable grant inside a read-only one is writable, and only it', async (t) => {
    const host = writable(t.testdir(), 'all')
    const inner = writable(host, 'inner')
    const { stdout, code } = await run(sandbox, specFor(['sh', '-c', 'touch /all/x 2>/dev/null && echo bad; touch /all/inner/x && echo good'], {
      sandbox: {
        read: [{ source: host, target: '/all' }], write: [{ source: inner, target: '/all/inner' }],
      }
    }))
    t.same({ stdout, code }, { stdout: 'good\n', code: 0 })
    t.ok(existsSync(join(inner, 'x')))
  })

  t.test('the working directory is a granted one when the config says so', async (t) => {
    const folder = writable(t.testdir(), 'work')
    const sandboxed = { read: [{ source: folder, target: folder }] }
    t.equal((await run(sandbox, specFor(['pwd'], { cwd: folder, sandbox: sandboxed }))).stdout, `${folder}\n`)
    await t.rejects(sandbox.spawn(specFor(['pwd'], { cwd: folder })), { message: /working directory .* is not visible/ })
  })
})

t.test('what a cell refuses', async (t) => {
  const refuses = async (sandboxed: Parameters<typeof specFor>[1], message: RegExp, name: string): Promise<void> => {
    await t.rejects(sandbox.spawn(specFor(['true'], sandboxed)), { name: 'SandboxError', message }, name)
  }
  const host = t.testdir({ gateway: { 'data.json': '{}' } })
  const write = writable(host, 'write')
  const read = writable(host, 'read')
  symlinkSync('/etc', join(host, 'link'))
  symlinkSync('/etc', join(read, 'sub'))
  await refuses({ sandbox: { write: [{ source: write, target: '/data' }], read: [{ source: read, target: '/data/sub' }] } }, /beneath the writable \/data/, 'a mount beneath a writable grant')
  await refuses({ sandbox: { write: [{ source: write, target: '/data' }, { source: read, target: '/data/sub/deep' }] } }, /beneath the writable/, 'two writable grants, one beneath the other')
  await refuses({ sandbox: { read: [{ source: read, target: '/data' }], write: [{ source: write, target: '/data/sub' }] } }, /no such directory in/, 'a mount point that is a link')
  await refuses({ sandbox: { read: [{ source: join(host, 'link'), target: '/data' }] } }, /leads to \/etc, which holds the configuration/, 'a grant that has become a link to /etc')
  await refuses({ sandbox: { read: [{ source: join(host, 'gone'), target: '/data' }] } }, /does not exist\. Create it/, 'a grant that is not there')
  await refuses({ sandbox: { read: [{ source: host, target: '/data' }] }, protect: [join(host, 'gateway')] }, /contains files of the gateway itself/, 'a grant above the gateway\'s data')
  await refuses({ sandbox: { read: [{ source: read, target: '/usr/share/x' }] } }, /system inside the sandbox/, 'a target that hides the system')
  await refuses({ env: { 'A-B': 'x' } }, /"A-B" is not the name/, 'a variable that is none')
  await refuses({ sandbox: { mode: 'none' } }, /asks for sandbox: none/, 'another mode than the sandbox has')
  mkdirSync(join(read, 'run'))
  const server = spawn(python, ['-c', 'import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind("door.sock"); print(flush=True); sys.stdin.read()'], { cwd: join(read, 'run'), stdio: ['pipe', 'pipe', 'inherit'] })
  await once(server.stdout, 'data')
  await refuses({ sandbox: { read: [{ source: join(read, 'run'), target: '/data' }] } }, /socket door\.sock/, 'a grant with a socket in it')
  server.kill()

  t.test('a grant of a root gateway that nobody else may use, with the command that mends it', { skip: process.getuid?.() !== 0 }, async (t) => {
    mkdirSync(join(host, 'own'), { mode: 0o700 })
    await t.rejects(sandbox.spawn(specFor(['true'], { sandbox: { write: [{ source: join(host, 'own'), target: '/data' }] } })), { message: /chown -R 65534:65534/ })
  })

  t.test('programs and grants of a root gateway may lie where only root can pass', { skip: process.getuid?.() !== 0 }, async (t) => {
    mkdirSync(join(host, 'private'), { mode: 0o700 })
    const inner = writable(host, 'private/inner')
    writeFileSync(join(inner, 'main.mjs'), 'import fs from "node:fs"; fs.writeFileSync("/data/out", String(process.getuid())); console.log("ran")')
    const { stdout } = await run(sandbox, specFor(['node', join(inner, 'main.mjs')], { sandbox: { write: [{ source: inner, target: '/data' }] } }))
    t.equal(stdout, 'ran\n')
    t.equal(readFileSync(join(inner, 'out'), 'utf8'), '1000')
  })
})

t.test('real servers start and answer', async (t) => {
  const data = writable(t.testdir(), 'data')
  const library = join(fixtures, 'stdlib_server.py')
  const servers: Record<string, Parameters<typeof specFor>> = {
    'secure-filesystem-server': [['npx', '-y', '@modelcontextprotocol/server-filesystem', '/data'], { sandbox: { write: [{ source: data, target: '/data' }] } }],
    'memory-server': [['npx', '-y', '@modelcontextprotocol/server-memory'], {}],
    'mcp-servers/everything': [['npx', '-y', '@modelcontextprotocol/server-everything'], {}],
    stdlib: [[python, library], {}],
  }
  await Promise.all(Object.entries(servers).map(async ([name, spec]) => {
    const cell = await sandbox.spawn(specFor(...spec))
    t.match(await ask(cell, 'initialize', greeting), { serverInfo: { name } }, name)
    await cell.stop(2_000)
  }))
})
