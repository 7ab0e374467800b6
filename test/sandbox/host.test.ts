import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { arch, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'

import { realHost } from '../../src/sandbox/host.ts'
import { openSandbox } from '../../src/sandbox/sandbox.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import { seccompFilter } from '../../src/sandbox/seccomp.ts'
import { absent, forbidden, judged } from '../../src/sandbox/syscalls.ts'
import { specFor } from './cells.ts'

const machine = realHost('/usr/local/bin:/usr/bin:/bin')

/** A sandbox on a machine where `bwrap` is another program, or is missing. */
function sandboxWith (bwrap: string | undefined): Sandbox {
  return openSandbox('bubblewrap', { allowUnsandboxed: false, host: { ...machine, tool: (name) => name === 'bwrap' ? bwrap : machine.tool(name) } })
}

/** A bwrap that answers --help like a good one and then fails as this kind of host makes it fail. */
function failingBwrap (name: string, complaint: string): string {
  const folder = join(tmpdir(), `portcullis-test-${process.pid}`) // reachable for whoever cells run as
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\nif [ "$1" = --help ]; then exec /usr/bin/bwrap --help; fi\necho "bwrap: ${complaint}" >&2\nexit 1\n`, { mode: 0o755 })
  return path
}

t.test('the self-test passes on a machine that can confine', async (t) => {
  const sandbox = openSandbox('bubblewrap', { allowUnsandboxed: false })
  t.same(await sandbox.selfTest(), { ok: true })
  t.equal(sandbox.selfTest(), sandbox.selfTest(), 'and is remembered')
  t.not(sandbox.selfTest(), sandbox.selfTest({ again: true }), 'unless it is asked for again')
  t.same(await sandbox.selfTest(), { ok: true })
})

t.test('without bubblewrap nothing starts, and the message says how to install it', async (t) => {
  const sandbox = sandboxWith(undefined)
  t.match(await sandbox.selfTest(), { ok: false, reason: /bubblewrap \(bwrap\) is not installed/, hint: /^Install it: \S+ .*bubblewrap$/ })
  await t.rejects(sandbox.spawn(specFor(['true'])), { name: 'SandboxError', message: /not installed.*Install it: / })
})

t.test('on another system nothing starts either', async (t) => {
  const platform = Object.getOwnPropertyDescriptor(process, 'platform') ?? {}
  Object.defineProperty(process, 'platform', { ...platform, value: 'darwin' })
  t.teardown(() => Object.defineProperty(process, 'platform', platform))
  t.match(await openSandbox('bubblewrap', { allowUnsandboxed: true }).selfTest(), { ok: false, reason: /is for Linux, and this is darwin/, hint: /Linux container/ })
})

t.test('a host that hinders bubblewrap is explained', async (t) => {
  const hosts: [name: string, complaint: string, hint: RegExp][] = [
    ['docker', 'No permissions to create new namespace, likely because the kernel does not allow non-privileged user namespaces.', /docker\/seccomp\.json/],
    ['apparmor', 'setting up uid map: Permission denied', /AppArmor/],
    ['masked', "Can't mount proc on /newroot/proc: Operation not permitted", /systempaths=unconfined/],
    ['old', 'Unknown option --disable-userns', /too old/],
    ['full', 'Creating new namespace failed: No space left on device', /max_user_namespaces/],
    ['odd', 'something nobody has seen', /docs\/sandbox\.md/],
  ]
  await Promise.all(hosts.map(async ([name, complaint, hint]) => {
    const tested = await sandboxWith(failingBwrap(name, complaint)).selfTest()
    t.match(tested, { ok: false, hint }, name)
    t.ok(!tested.ok && tested.reason.includes(complaint), `${name}: what bwrap said is there`)
  }))
})

t.test('a bwrap that confines nothing is found out', async (t) => {
  const folder = join(tmpdir(), `portcullis-test-${process.pid}`)
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const liar = join(folder, 'liar') // runs the command outside of any sandbox
  writeFileSync(liar, '#!/bin/sh\nif [ "$1" = --help ]; then exec /usr/bin/bwrap --help; fi\nfor part in bwrap prlimit; do while [ "$1" != -- ]; do shift; done; shift; done\nexec "$@"\n', { mode: 0o755 })
  const sandbox = sandboxWith(liar)
  const tested = await sandbox.selfTest()
  t.notOk(tested.ok)
  for (const what of ['system call filter', 'gain privileges', 'file of the host can be read']) t.ok(!tested.ok && tested.reason.includes(what), what)
  await t.rejects(sandbox.spawn(specFor(['true'])), { message: /does not confine on this machine/ })
})

/** Runs the filter as the kernel does; returns the action. */
function judge (filter: Buffer, nr: number, auditArch: number, args: readonly number[] = []): number {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(nr >>> 0, 0)
  data.writeUInt32LE(auditArch, 4)
  for (const [index, value] of args.entries()) data.writeBigUInt64LE(BigInt(value), 16 + index * 8)
  let accumulator = 0
  for (let at = 0; ; at += 8) {
    const [code, yes, no, k] = [filter.readUInt16LE(at), filter.readUInt8(at + 2), filter.readUInt8(at + 3), filter.readUInt32LE(at + 4)]
    const jump = (condition: boolean): void => { at += 8 * (condition ? yes : no) }
    if (code === 0x20) accumulator = data.readUInt32LE(k)
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0
    else if (code === 0x15) jump(accumulator === k)
    else if (code === 0x35) jump(accumulator >= k)
    else if (code === 0x45) jump((accumulator & k) !== 0)
    else if (code === 0x06) return k
    else throw new Error(`unknown instruction ${code}`)
  }
}

t.test('the system call filter on both machines', async (t) => {
  const allow = 0x7fff0000
  const errno = (number: number): number => 0x50000 + number
  for (const [name, column, auditArch, other] of [['x64', 0, 0xc000003e, 0xc00000b7], ['arm64', 1, 0xc00000b7, 0xc000003e]] as const) {
    const filter = seccompFilter(name)
    const call = (numbers: readonly (number | null)[], ...args: number[]): number | undefined => {
      const nr = numbers[column]
      return nr === null || nr === undefined ? undefined : judge(filter, nr, auditArch, args)
    }
    t.equal(judge(filter, 0, other), 0x80000000, `${name}: calls of another machine kill`)
    t.equal(judge(filter, 471, auditArch), errno(38), `${name}: calls newer than the tables do not exist`)
    for (const [call_, numbers] of Object.entries(forbidden)) if (call(numbers) !== undefined) t.equal(call(numbers), errno(1), `${name}: ${call_}`)
    for (const [call_, numbers] of Object.entries(absent)) t.equal(call(numbers), errno(38), `${name}: ${call_}`)
    for (const domain of [1, 2, 10]) t.equal(call(judged.socket, domain, 1, 0), allow, `${name}: socket ${domain}`)
    t.equal(call(judged.socket, 16, 3, 0), allow, `${name}: route netlink`)
    t.equal(call(judged.socket, 16, 3, 9), errno(97), `${name}: audit netlink`)
    t.equal(call(judged.socket, 40, 1, 0), errno(97), `${name}: vsock`)
    t.equal(call(judged.clone, 0x01200011), allow, `${name}: fork`)
    t.equal(call(judged.clone, 0x003d0f00), allow, `${name}: a thread`)
    t.equal(call(judged.clone, 0x10000011), errno(1), `${name}: clone with a user namespace`)
    t.equal(call(judged.ioctl, 0, 0x5401), allow, `${name}: TCGETS`)
    t.equal(call(judged.ioctl, 0, 0x5412), errno(1), `${name}: TIOCSTI`)
    t.equal(call(judged.fchmod, 3, 0o755), allow, `${name}: fchmod`)
    t.equal(call(judged.fchmod, 3, 0o4755), errno(1), `${name}: fchmod setuid`)
    t.equal(call(judged.openat, 0, 0, 0o101, 0o644), allow, `${name}: open and create`)
    t.equal(call(judged.openat, 0, 0, 0o101, 0o4755), errno(1), `${name}: create setuid`)
    t.equal(call(judged.openat, 0, 0, 0, 0o7777), allow, `${name}: open with a left-over mode`)
    t.equal(call(judged.personality, 0xffffffff), allow, `${name}: asking the personality`)
    t.equal(call(judged.personality, 0x0400000), errno(1), `${name}: READ_IMPLIES_EXEC`)
    t.equal(call(judged.mmap, 0, 1, 3, 0x22), allow, `${name}: private memory`)
    t.equal(call(judged.mmap, 0, 1, 3, 0x21), errno(12), `${name}: shared memory`)
    t.equal(call([0, 63], 0), allow, `${name}: read`)
  }
  t.equal(judge(seccompFilter('x64'), 0x40000001, 0xc000003e), errno(38), 'x64: the x32 ABI does not exist')

  const header = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'
  t.test('the numbers are those of the kernel\'s headers', { skip: arch() !== 'x64' || !existsSync(header) }, async (t) => {
    const known = new Map([...readFileSync(header, 'utf8').matchAll(/__NR_(\w+)\s+(\d+)/g)].map(([, name, number]) => [name, Number(number)]))
    for (const [name, [x64]] of Object.entries({ ...forbidden, ...absent, ...judged })) if (known.has(name)) t.equal(x64, known.get(name), name)
  })
})
