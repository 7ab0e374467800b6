import { absent, forbidden, judged, leaving, numberOf } from './syscalls.ts'
import type { Machine } from './syscalls.ts'

/**
 * The seccomp filter of a cell as classic BPF in the machine's byte order, ready for bwrap's --seccomp.
 * Everything is allowed but what the tables name; another machine's calls kill; calls newer than the tables do not exist.
 * @param options.alone what namespaces hold is held here where there are none: no sockets, and nobody leaves the process group
 */
export function seccompFilter (machine: Machine, { alone = false } = {}): Buffer {
  return assemble([
    load(offset.arch), unlessEqual(auditArch[machine], killProcess),
    load(offset.number),
    ...(machine === 'x64' ? [ifAtLeast(x32Bit, errno(ENOSYS))] : []), // the x32 ABI reaches the same calls by other numbers
    ifAtLeast(newestKnown + 1, errno(ENOSYS)),
    ...refuse(absent, machine, errno(ENOSYS)),
    ...refuse(forbidden, machine, errno(EPERM)),
    ...(alone ? [...refuse({ socket: judged.socket }, machine, errno(EAFNOSUPPORT)), ...refuse(leaving, machine, done)] : []),
    ...Object.keys(judges).flatMap((name) => judge(name as keyof typeof judged, machine)),
    answer(allow),
  ].flat())
}

/** Whether there is a filter for this machine. */
export function isKnownMachine (arch: string): arch is Machine {
  return arch === 'x64' || arch === 'arm64'
}

interface Instruction { readonly code: number, readonly yes: number, readonly no: number, readonly k: number }

const EPERM = 1
const ENOMEM = 12
const ENOSYS = 38
const EAFNOSUPPORT = 97
const newestKnown = 470
const x32Bit = 0x40000000
const allow = 0x7fff0000
/** The call is not made, and says that it was. */
const done = 0x00050000
const killProcess = 0x80000000
const auditArch: Record<Machine, number> = { x64: 0xc000003e, arm64: 0xc00000b7 }
/** struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]. Low halves come first on both machines. */
const offset = { number: 0, arch: 4, argument: (index: number) => 16 + index * 8 }

const AF = { unix: 1, inet: 2, inet6: 10, netlink: 16 }
const cloneNewAnything = 0x7e020000
const setIdBits = 0o6000
const O_CREAT = 0o100
const sharedAnonymous = 0x21
const ioctlsOnTerminals = [0x5412, 0x541c, 0x5423] // TIOCSTI, TIOCLINUX, TIOCSETD

/** What is asked of the arguments of one call. Each list ends without an answer, or answers. */
const judges: Record<keyof typeof judged, Instruction[][]> = {
  socket: [
    load(offset.argument(0)),
    ...[AF.unix, AF.inet, AF.inet6].map((family) => ifEqual(family, allow)),
    unlessEqual(AF.netlink, errno(EAFNOSUPPORT)),
    load(offset.argument(2)), unlessEqual(0, errno(EAFNOSUPPORT)), // NETLINK_ROUTE: getifaddrs needs it
  ],
  socketpair: [load(offset.argument(0)), unlessEqual(AF.unix, errno(EAFNOSUPPORT))],
  clone: [load(offset.argument(0)), ifAnyBit(cloneNewAnything, errno(EPERM))],
  ioctl: [load(offset.argument(1)), ...ioctlsOnTerminals.map((request) => ifEqual(request, errno(EPERM)))],
  chmod: modeIn(1),
  fchmod: modeIn(1),
  fchmodat: modeIn(2),
  fchmodat2: modeIn(2),
  creat: modeIn(1),
  open: createdModeIn(1, 2),
  openat: createdModeIn(2, 3),
  personality: [load(offset.argument(0)), ifEqual(0, allow), unlessEqual(0xffffffff, errno(EPERM))],
  // RLIMIT_DATA does not count shared anonymous memory, so a cell has none
  mmap: [load(offset.argument(3)), mask(sharedAnonymous), ifEqual(sharedAnonymous, errno(ENOMEM))],
}

function modeIn (argument: number): Instruction[][] {
  return [load(offset.argument(argument)), ifAnyBit(setIdBits, errno(EPERM))]
}

/** A mode counts only where the flags create: otherwise that register holds whatever was left in it. */
function createdModeIn (flags: number, mode: number): Instruction[][] {
  return [load(offset.argument(flags)), unlessAnyBit(O_CREAT, allow), ...modeIn(mode)]
}

function refuse (table: Readonly<Record<string, readonly [number | null, number | null]>>, machine: Machine, action: number): Instruction[][] {
  return Object.values(table).map((numbers) => {
    const number = numberOf(numbers, machine)
    return number === undefined ? [] : ifEqual(number, action)
  })
}

/** Jumps over the questions of a call when the number in the accumulator is another. */
function judge (name: keyof typeof judged, machine: Machine): Instruction[][] {
  const number = numberOf(judged[name], machine)
  if (number === undefined) return []
  const questions = [...judges[name].flat(), ...answer(allow)]
  return [[{ code: 0x15, yes: 0, no: questions.length, k: number }], questions]
}

function load (k: number): Instruction[] {
  return [{ code: 0x20, yes: 0, no: 0, k }]
}

function mask (k: number): Instruction[] {
  return [{ code: 0x54, yes: 0, no: 0, k }]
}

function answer (k: number): Instruction[] {
  return [{ code: 0x06, yes: 0, no: 0, k }]
}

function ifEqual (k: number, action: number): Instruction[] {
  return [{ code: 0x15, yes: 0, no: 1, k }, ...answer(action)]
}

function unlessEqual (k: number, action: number): Instruction[] {
  return [{ code: 0x15, yes: 1, no: 0, k }, ...answer(action)]
}

function ifAtLeast (k: number, action: number): Instruction[] {
  return [{ code: 0x35, yes: 0, no: 1, k }, ...answer(action)]
}

function ifAnyBit (k: number, action: number): Instruction[] {
  return [{ code: 0x45, yes: 0, no: 1, k }, ...answer(action)]
}

function unlessAnyBit (k: number, action: number): Instruction[] {
  return [{ code: 0x45, yes: 1, no: 0, k }, ...answer(action)]
}

function errno (number: number): number {
  return 0x00050000 | number
}

/** struct sock_filter: __u16 code; __u8 jt, jf; __u32 k. */
function assemble (program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  for (const [index, { code, yes, no, k }] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(yes, index * 8 + 2)
    bytes.writeUInt8(no, index * 8 + 3)
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4)
  }
  return bytes
}
