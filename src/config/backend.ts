import type { Config, Grant, SandboxMode, SandboxSpec } from './config.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'

/** What a server may do under a backend and not under bubblewrap, each as it goes on after "the server …". Shown at every start. */
export const shortcomings: Readonly<Record<SandboxMode, readonly string[]>> = {
  bubblewrap: [],
  landlock: [
    'may send signals to other processes of its user',
    'sees the host\'s name and network settings',
    'has a /tmp and home on the host\'s disk, as large as the disk allows',
    'is held to its number of processes by a look every second only',
    'may outlive the gateway if it ends the process that watches for that',
  ],
  docker: [
    'is held to the system calls of Docker\'s profile, not of ours',
    'may go on after the gateway is killed, until it reads the end of its stdin',
    'is not counted in the metrics of memory and processor time',
  ],
  seatbelt: [
    'sees the processes of the host',
    'has no limit on memory and processes',
    'may leave processes behind that left its process group',
    'may talk to some services of the system',
  ],
  none: ['may do everything the gateway\'s user may'],
}

/** Names of the upstreams that run without a sandbox, since the configuration and the command line say so. */
export function unsandboxed ({ upstreams }: Pick<Config, 'upstreams'>): readonly string[] {
  return [...upstreams.values()].filter(({ remote, sandbox }) => remote === undefined && sandbox.mode === 'none').map(({ name }) => name)
}

type Key = 'memory' | 'processes' | 'file_size' | 'open_files' | 'tmp'

interface Abilities {
  /** Keys a server cannot be held to: named, they would only look as if it were. */
  readonly cannotHold: readonly Key[]
  /** Whether files can be shown at another place than theirs. */
  readonly moves: boolean
}

const abilities: Readonly<Partial<Record<SandboxMode, Abilities>>> = {
  landlock: { cannotHold: ['tmp'], moves: false },
  docker: { cannotHold: [], moves: true },
  seatbelt: { cannotHold: ['memory', 'processes', 'file_size', 'open_files', 'tmp'], moves: false },
}

/** Reports what the chosen backend cannot do of what the sandbox asks for, rather than leave it undone. */
export function checkBackend (given: { readonly [name in Key]?: unknown }, spec: SandboxSpec, path: Path, { report }: Surroundings): void {
  checkImage(spec, path, { report })
  const able = abilities[spec.mode]
  if (able === undefined) return
  const mode = `"mode: ${spec.mode}"`
  if (spec.network !== 'none') report.problem([...path, 'network'], `names hosts, and ${mode} cannot hold a server to them: use bubblewrap, or network: none`)
  for (const key of able.cannotHold) {
    if (given[key] !== undefined) report.problem([...path, key], `cannot be kept by ${mode}: remove it, or use bubblewrap`)
  }
  if (able.moves) return
  for (const access of ['read', 'write'] as const) {
    spec[access].filter(isMoved).forEach(({ source, target }) => report.problem([...path, access], `${mode} shows files where they are: write "${source}" without the target "${target}"`))
  }
}

function checkImage ({ mode, image }: SandboxSpec, path: Path, { report }: Pick<Surroundings, 'report'>): void {
  if (mode === 'docker' && image === undefined) report.problem(path, '"mode: docker" needs "image": the container image that the command runs in')
  if (mode !== 'docker' && image !== undefined) report.problem([...path, 'image'], 'is for "mode: docker" only')
}

function isMoved ({ source, target }: Grant): boolean {
  return source !== target
}
