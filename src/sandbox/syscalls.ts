/** Machines the seccomp filter knows, as `process.arch` names them. */
export type Machine = 'x64' | 'arm64'

type Numbers = readonly [x64: number | null, arm64: number | null]

/** Of the system calls the filter judges by their arguments: their numbers (Linux asm/unistd_64.h and asm-generic/unistd.h). */
export const judged = {
  socket: [41, 198],
  socketpair: [53, 199],
  clone: [56, 220],
  ioctl: [16, 29],
  chmod: [90, null],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchmodat2: [452, 452],
  open: [2, null],
  openat: [257, 56],
  creat: [85, null],
  personality: [135, 92],
  mmap: [9, 222],
} as const satisfies Record<string, Numbers>

/**
 * Answered with ENOSYS, so that programs take the older way they know: clone3 and openat2 take their flags through a
 * pointer, which a filter cannot read.
 */
export const absent = {
  clone3: [435, 435],
  openat2: [437, 437],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  memfd_secret: [447, 447],
} as const satisfies Record<string, Numbers>

/** Answered with EPERM: other processes, mounts, namespaces, keys, kernel surface that no tool server needs. */
export const forbidden = {
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  kcmp: [312, 272],
  pidfd_getfd: [438, 438],
  process_madvise: [440, 440],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  open_tree_attr: [467, 467],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  setns: [308, 268],
  unshare: [272, 97],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  fanotify_init: [300, 262],
  fanotify_mark: [301, 263],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  create_module: [174, null],
  query_module: [178, null],
  get_kernel_syms: [177, null],
  reboot: [169, 142],
  swapon: [167, 224],
  swapoff: [168, 225],
  acct: [163, 89],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  syslog: [103, 116],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  clock_adjtime: [305, 266],
  adjtimex: [159, 171],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  iopl: [172, null],
  ioperm: [173, null],
  modify_ldt: [154, null],
  uselib: [134, null],
  ustat: [136, null],
  sysfs: [139, null],
  _sysctl: [156, null],
  nfsservctl: [180, 42],
  vhangup: [153, 58],
  lookup_dcookie: [212, 18],
  mknod: [133, null],
  mknodat: [259, 33],
  move_pages: [279, 239],
  migrate_pages: [256, 238],
  mbind: [237, 235],
  set_mempolicy: [238, 237],
  set_mempolicy_home_node: [450, 450],
} as const satisfies Record<string, Numbers>

/** Ways out of a process group; programs that cannot take them mostly fail, so they are told that it was done. */
export const leaving = {
  setsid: [112, 157],
  setpgid: [109, 154],
} as const satisfies Record<string, Numbers>

/** The number of a call on `machine`; undefined where the machine has no such call. */
export function numberOf ([x64, arm64]: Numbers, machine: Machine): number | undefined {
  return (machine === 'x64' ? x64 : arm64) ?? undefined
}
