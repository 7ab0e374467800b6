import type { Mount } from './mounts.ts'

/** A place that is there, and what it is: rights on directories cannot be given on files. */
export interface Place { readonly path: string, readonly isDirectory: boolean }

/** Everything the setpriv command line of one cell depends on. */
export interface Landlock {
  /** The system and the program: to be read and executed. */
  readonly system: readonly Place[]
  readonly mounts: readonly (Mount & Place)[]
  /** Directories of the cell's own, on the host's disk. */
  readonly scratch: readonly string[]
  /** The file with the system call filter. */
  readonly filter: string
  /** Whom the cell runs as, when the gateway is root. */
  readonly user: { readonly uid: number, readonly gid: number } | undefined
}

/** The options of setpriv for one cell: what is not named here cannot be opened. */
export function landlockOptions ({ system, mounts, scratch, filter, user }: Landlock): string[] {
  return [
    ...(user === undefined ? [] : ['--reuid', `${user.uid}`, '--regid', `${user.gid}`, '--clear-groups', '--inh-caps=-all', '--bounding-set=-all']),
    '--no-new-privs',
    '--landlock-access', 'fs',
    ...system.flatMap((place) => rule(place, false)),
    ...mounts.flatMap((mount) => rule(mount, mount.write)),
    ...scratch.flatMap((path) => rule({ path, isDirectory: true }, true)),
    ...Object.entries(devices).flatMap(([path, rights]) => beneath(rights, path)),
    // the directory of the process itself: the rule stays with it when it becomes the program, and its children have none
    ...rule({ path: '/proc/self', isDirectory: true }, false),
    '--seccomp-filter', filter,
  ]
}

const devices: Readonly<Record<string, readonly string[]>> = {
  '/dev/null': ['read-file', 'write-file'],
  '/dev/zero': ['read-file', 'write-file'],
  '/dev/full': ['read-file', 'write-file'],
  '/dev/random': ['read-file'],
  '/dev/urandom': ['read-file'],
}

const rights = {
  file: { read: ['execute', 'read-file'], write: ['execute', 'read-file', 'write-file', 'truncate'] },
  directory: {
    read: ['execute', 'read-file', 'read-dir'],
    write: ['execute', 'read-file', 'read-dir', 'write-file', 'truncate', 'remove-dir', 'remove-file', 'make-dir', 'make-reg', 'make-fifo', 'make-sym', 'refer'],
  },
} as const

function rule ({ path, isDirectory }: Place, write: boolean): string[] {
  return beneath(rights[isDirectory ? 'directory' : 'file'][write ? 'write' : 'read'], path)
}

function beneath (allowed: readonly string[], path: string): string[] {
  return ['--landlock-rule', `path-beneath:${allowed.join(',')}:${path}`]
}
