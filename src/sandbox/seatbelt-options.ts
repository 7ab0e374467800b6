import type { SandboxRuntimeConfig } from '@anthropic-ai/sandbox-runtime'
import type { Mount } from './mounts.ts'

/** Everything the Seatbelt profile of one cell depends on. */
export interface Seatbelt {
  readonly mounts: readonly Pick<Mount, 'source' | 'write'>[]
  /** Directories of the cell's own. */
  readonly scratch: readonly string[]
}

/** What sandbox-runtime makes a profile of: nothing is read, written or reached but what is named. */
export function seatbeltConfig ({ mounts, scratch }: Seatbelt): Pick<SandboxRuntimeConfig, 'network' | 'filesystem'> {
  return {
    network: { allowedDomains: [], deniedDomains: [], strictAllowlist: true, allowLocalBinding: false, allowUnixSockets: [], allowAllUnixSockets: false },
    filesystem: {
      denyRead: ['/'],
      allowRead: [...system, ...mounts.map(({ source }) => source), ...scratch],
      allowWrite: [...devices, ...mounts.filter(({ write }) => write).map(({ source }) => source), ...scratch],
      denyWrite: [],
    },
  }
}

const devices = ['/dev/null', '/dev/zero', '/dev/dtracehelper']

/** The parts of macOS that every program reads, and that say nothing about its people. */
const system = [
  '/System', '/usr/lib', '/usr/bin', '/usr/libexec', '/usr/share', '/bin', '/sbin', '/usr/sbin', '/Library/Apple', '/private/var/db/dyld', '/private/var/db/timezone',
  '/private/etc/localtime', '/private/etc/ssl', '/dev/random', '/dev/urandom', ...devices,
]
