import { dirname, isAbsolute, normalize, sep } from 'node:path'

/** What the rules must know about this machine. All paths absolute. */
export interface GrantContext {
  /** What belongs to the gateway: its data directory, its configuration file. Neither they nor a directory above them is ever granted. */
  readonly protect: readonly string[]
  /** Code the gateway or other servers run: never writable. */
  readonly code?: readonly string[]
  /** Home directories beside those under /home and /Users. */
  readonly homes: readonly string[]
}

export type Access = 'read' | 'write'

interface Rule {
  readonly refuses: (path: string, context: GrantContext) => boolean
  /** Absent: for both. */
  readonly access?: Access
  readonly reason: string
}

const credentials = new Set(['.ssh', '.aws', '.gnupg', '.azure', '.kube', '.docker', '.gcloud', '.password-store', '.netrc', '.npmrc', '.pypirc', '.git-credentials', '.pgpass', '.vault-token', '.mozilla', '.thunderbird', '.claude', '.codex', '.cursor'])
const homeConfig = ['.config', '.local', '.cache', '.bashrc', '.bash_profile', '.bash_history', '.profile', '.zshrc', '.zsh_history', '.gitconfig', '.var', 'Library', 'snap']
const kernel = ['/proc', '/sys', '/dev']
const running = ['/run', '/var/run', '/var/lock']
const system = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/usr']
const shared = ['/tmp', '/var/tmp', '/var', '/var/lib', '/home', '/Users', '/private']

/** What may never be granted. The first rule that refuses gives the reason. */
const rules: readonly Rule[] = [
  { refuses: (path) => path === '/', reason: 'is the whole file system' },
  { refuses: within(kernel), reason: 'is an interface of the kernel' },
  { refuses: within(running), reason: 'holds sockets and secrets of running services' },
  { refuses: within(['/etc', '/private/etc']), reason: 'holds the configuration and the accounts of this machine' },
  { refuses: within(['/boot', '/lost+found']), reason: 'belongs to the operating system' },
  { refuses: within(['/var/lib/docker', '/var/lib/containerd', '/var/lib/containers', '/var/lib/kubelet']), reason: 'belongs to the container runtime' },
  { refuses: (path) => path.endsWith('.sock'), reason: 'is a socket: whoever reaches it talks to the service behind it' },
  { refuses: (path) => path.split(sep).some((part) => credentials.has(part)), reason: 'holds credentials' },
  { refuses: (path, context) => context.protect.some((own) => isWithin(own, path)), reason: 'contains files of the gateway itself (its data directory or its configuration)' },
  { refuses: (path, context) => context.protect.some((own) => isWithin(path, own)), reason: 'belongs to the gateway itself' },
  { refuses: isHome, reason: 'is a home directory: grant one directory in it' },
  { refuses: (path, context) => homeConfig.some((part) => inHome(path, part, context)), reason: 'holds the settings and the credentials of a person' },
  { refuses: (path) => shared.includes(path), reason: 'is shared by everything on this machine: grant one directory in it' },
  { refuses: within(system), access: 'write', reason: 'holds the programs of this machine' },
  { refuses: (path) => path.split(sep).includes('node_modules'), access: 'write', reason: 'holds code that other servers run' },
  { refuses: (path, context) => (context.code ?? []).some((own) => isWithin(path, own) || isWithin(own, path)), access: 'write', reason: 'holds the code of the gateway itself' },
]

/**
 * Why this absolute path may not be granted, as the end of a sentence that begins with the path; undefined when it may.
 * Pure: whoever has a file system at hand asks again with the real path behind symbolic links.
 */
export function sourceProblem (source: string, access: Access, context: GrantContext): string | undefined {
  const path = clean(source)
  return rules.find((rule) => (rule.access === undefined || rule.access === access) && rule.refuses(path, context))?.reason
}

const reserved = ['/proc', '/sys', '/dev', '/run', '/etc', ...system]

/** Why a grant may not appear at this path inside the sandbox; undefined when it may. */
export function targetProblem (target: string): string | undefined {
  if (!isAbsolute(target)) return 'must be an absolute path, as the server will see it'
  if (clean(target) !== (target.length > 1 ? target.replace(/\/$/, '') : target)) return 'must be written without ".", ".." or doubled slashes'
  if (target === '/') return 'would replace the root of the sandbox'
  return within(reserved)(clean(target)) ? 'would replace a part of the system inside the sandbox' : undefined
}

/**
 * Two targets of one sandbox that cannot be mounted together: equal, or one below a writable one, where the server could
 * lead the mount point elsewhere with a symbolic link (bubblewrap GHSA-pxhw-h44j-8pfx).
 */
export function collision (target: string, others: readonly { readonly target: string, readonly access: Access }[]): string | undefined {
  const other = others.find((candidate) => candidate.target === target || (candidate.access === 'write' && isWithin(target, candidate.target)))
  if (other === undefined) return undefined
  return other.target === target ? `"${target}" is granted twice` : `"${target}" lies below the writable "${other.target}"`
}

/** Whether `path` is `parent` or lies below it. */
export function isWithin (path: string, parent: string): boolean {
  return path === parent || path.startsWith(parent === '/' ? '/' : `${parent}/`)
}

function clean (path: string): string {
  const normal = normalize(path)
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

function within (parents: readonly string[]): (path: string) => boolean {
  return (path) => parents.some((parent) => isWithin(path, parent))
}

function isHome (path: string, context: GrantContext): boolean {
  return path === '/root' || context.homes.includes(path) || ['/home', '/Users', '/var/home'].includes(dirname(path)) || context.homes.some((home) => isWithin(home, path))
}

function inHome (path: string, part: string, context: GrantContext): boolean {
  const parts = path.split(sep)
  return parts.some((name, index) => name === part && isHome(parts.slice(0, index).join(sep), context))
}
