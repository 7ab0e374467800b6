import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import t from 'tap'
import { parse } from 'yaml'

import { variables } from '../src/config/environment.ts'
import { freePort, until } from './support/gateway.ts'
import { testDatabase } from './support/postgres.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

interface Service {
  environment: Record<string, string>
  ports?: string[]
  networks: string[]
  volumes: string[]
  cap_drop: string[]
  cap_add?: string[]
  security_opt: string[]
  read_only: boolean
  mem_limit: string
  pids_limit: number
  user?: string
  healthcheck?: unknown
  depends_on?: Record<string, { condition: string }>
}

const { services, networks } = parse(read('docker-compose.yml'), { merge: true }) as { services: { gateway: Service, postgres: Service }, networks: Record<string, { internal?: boolean }> }
const dockerfile = read('Dockerfile')

t.test('compose accepts the file, and refuses it without a database password', async t => {
  const program = [['docker', 'compose'], ['docker-compose']].find(([name = '', ...args]) => spawnSync(name, [...args, 'version']).status === 0)
  if (program === undefined) {
    t.comment('no compose here')
    return
  }
  const [name = '', ...args] = program
  const env = join(t.testdir({ empty: '' }), 'empty')
  const config = (extra: Record<string, string>): ReturnType<typeof spawnSync> => spawnSync(name, [...args, '-f', join(root, 'docker-compose.yml'), '--env-file', env, 'config'], { env: { PATH: process.env['PATH'], HOME: '/tmp', ...extra }, encoding: 'utf8' })
  const good = config({ POSTGRES_PASSWORD: 'only-to-check' })
  t.equal(good.status, 0, String(good.stderr))
  const bad = config({})
  t.not(bad.status, 0)
  t.match(bad.stderr, 'write POSTGRES_PASSWORD')
})

t.test('nothing is published beyond this machine, and the database not at all', async t => {
  for (const port of services.gateway.ports ?? []) t.match(port, /^127\.0\.0\.1:/)
  t.equal(services.postgres.ports, undefined)
  t.strictSame(services.postgres.networks, ['database'])
  t.equal(networks['database']?.internal, true)
})

t.test('both services run with as little as they can', async t => {
  for (const [name, service] of Object.entries(services)) {
    t.strictSame(service.cap_drop, ['ALL'], name)
    t.equal(service.read_only, true, name)
    t.ok(service.security_opt.includes('no-new-privileges:true'), name)
    t.ok(service.mem_limit, name)
    t.ok(service.pids_limit > 0, name)
  }
  t.equal(services.gateway.cap_add, undefined)
  t.equal(services.gateway.user, '1000:1000')
  t.match(dockerfile, /^USER 1000:1000$/m)
  t.strictSame(services.gateway.depends_on?.['postgres'], { condition: 'service_healthy' })
  t.ok(services.postgres.healthcheck)
})

t.test('no secret has a default', async t => {
  t.match(services.postgres.environment['POSTGRES_PASSWORD'], /^\$\{POSTGRES_PASSWORD:\?/)
  t.match(services.gateway.environment['DATABASE_URL'], /\$\{POSTGRES_PASSWORD:\?/)
  t.match(services.gateway.environment['PORTCULLIS_ADMIN_PASSWORD'], /^\$\{PORTCULLIS_ADMIN_PASSWORD:-\}$/)
})

t.test('every variable that is set is one the gateway knows', async t => {
  const known: readonly string[] = [...variables, 'NODE_ENV']
  const inImage = [...dockerfile.matchAll(/^(?:ENV| {3}) +([A-Z_]+)=/gm)].map(([, name = '']) => name)
  t.ok(inImage.length > 4)
  for (const name of [...inImage, ...Object.keys(services.gateway.environment)]) t.ok(known.includes(name), name)
})

t.test('what the image copies exists and is not kept out of the build', async t => {
  const ignored = read('.dockerignore').split('\n')
  t.equal(ignored.find(line => line !== '' && !line.startsWith('#')), '*', 'everything is out unless it is named')
  for (const [, files = ''] of dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
    for (const file of files.split(' ')) {
      t.ok(existsSync(join(root, file)), file)
      t.ok(ignored.includes(`!${file}`), `${file} in .dockerignore`)
    }
  }
})

t.test('the files of the image are enough to serve', async t => {
  const image = t.testdir()
  const last = dockerfile.slice(dockerfile.lastIndexOf('FROM '))
  for (const [, from, files = '', to = ''] of last.matchAll(/^COPY (--from=build )?(.+) (\S+)$/gm)) {
    for (const file of files.replaceAll('/app/', '').split(' ')) {
      const target = to.endsWith('/') ? join(image, to, file) : join(image, to)
      mkdirSync(dirname(target), { recursive: true })
      if (file === 'node_modules') symlinkSync(join(root, file), target)
      else cpSync(join(root, file), target, { recursive: true })
      t.ok(from === undefined || existsSync(target))
    }
  }
  const database = await testDatabase(t)
  const port = await freePort()
  const env = { PATH: process.env['PATH'], DATABASE_URL: database.url, PORT: String(port), METRICS_PORT: String(await freePort()), PORTCULLIS_DATA: join(image, 'data'), LOG_LEVEL: 'warn' }
  const gateway = spawn(process.execPath, ['dist/src/cli.js', 'serve'], { cwd: image, env, stdio: 'ignore' })
  t.teardown(() => gateway.kill('SIGKILL'))
  const ended = new Promise(resolve => gateway.once('exit', resolve))
  await until(async () => gateway.exitCode !== null || await fetch(`http://127.0.0.1:${port}/livez`).then(({ ok }) => ok, () => false), 120_000)
  gateway.kill('SIGTERM')
  t.equal(await ended, 0)
})

t.test('the seccomp profile lets the sandbox be built, and little else', async t => {
  t.ok(services.gateway.security_opt.includes('seccomp=./docker/seccomp.json'))
  t.ok(services.gateway.security_opt.includes('systempaths=unconfined'))
  const profile = JSON.parse(read('docker/seccomp.json')) as { defaultAction: string, architectures: string[], syscalls: { names: string[], action: string, errnoRet?: number, args?: unknown[] }[] }
  t.equal(profile.defaultAction, 'SCMP_ACT_ERRNO')
  t.strictSame(profile.architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_AARCH64'], 'no 32-bit programs')
  const allowed = (name: string): boolean => profile.syscalls.some(({ names, action, args }) => action === 'SCMP_ACT_ALLOW' && args === undefined && names.includes(name))
  for (const name of ['clone', 'unshare', 'mount', 'umount2', 'pivot_root', 'sethostname', 'prctl', 'seccomp', 'execve', 'epoll_pwait', 'prlimit64']) t.ok(allowed(name), name)
  for (const name of [
    'ptrace', 'process_vm_readv', 'process_vm_writev', 'pidfd_getfd', 'setns', 'bpf', 'perf_event_open', 'keyctl', 'add_key', 'userfaultfd', 'io_uring_setup', 'open_by_handle_at',
    'init_module', 'finit_module', 'kexec_load', 'reboot', 'swapon', 'syslog', 'settimeofday', 'clock_settime', 'iopl', 'fsopen', 'open_tree', 'move_mount', 'mount_setattr', 'chroot', 'clone3', 'socket',
  ]) t.notOk(allowed(name), name)
  t.match(profile.syscalls.find(({ names }) => names.includes('clone3')), { action: 'SCMP_ACT_ERRNO', errnoRet: 38 }, 'libc falls back to clone only after ENOSYS')
})

function read (file: string): string {
  return readFileSync(join(root, file), 'utf8')
}
