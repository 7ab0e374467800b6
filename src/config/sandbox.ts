import { realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

import { checkBackend } from './backend.ts'
import { collision, sourceProblem, targetProblem } from './grants.ts'
import type { Access, GrantContext } from './grants.ts'
import { readNetwork } from './network.ts'
import { present } from './reading.ts'
import { referenceProblem, references, resolveEnvironment } from './references.ts'
import { defaults } from './schema.ts'
import type { RawUpstream } from './schema.ts'
import { parseSize } from './units.ts'
import type { Grant, SandboxSpec } from './config.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'

type RawSandbox = Exclude<NonNullable<RawUpstream['sandbox']>, 'none'>

const needsFlag = 'is refused: start the gateway with --allow-unsandboxed if this server really may do everything the gateway may'

/** `sandbox:` of one upstream → its confinement. Problems go to the report; the value is only used when there are none. */
export function readSandbox (raw: RawUpstream['sandbox'], path: Path, around: Surroundings): SandboxSpec {
  const given: RawSandbox = raw === undefined ? {} : raw === 'none' ? { mode: 'none' } : raw
  const spec: SandboxSpec = {
    mode: given.mode ?? defaults.sandbox.mode,
    network: readNetwork(given, path, around),
    ...readGrants(given, path, around),
    processes: given.processes ?? defaults.sandbox.processes,
    openFiles: given.open_files ?? defaults.sandbox.open_files,
    memory: parseSize(given.memory ?? defaults.sandbox.memory),
    fileSize: parseSize(given.file_size ?? defaults.sandbox.file_size),
    tmp: parseSize(given.tmp ?? defaults.sandbox.tmp),
    nice: given.nice ?? defaults.sandbox.nice,
    ...(given.image === undefined ? {} : { image: given.image }),
  }
  refuseTooSmall(spec, path, around)
  checkBackend(given, spec, path, around)
  if (spec.mode === 'none') checkUnsandboxed(raw, given, path, around)
  return spec
}

const least = { memory: parseSize('16MiB'), tmp: parseSize('1MiB'), fileSize: 1 }

function refuseTooSmall (spec: SandboxSpec, path: Path, { report }: Surroundings): void {
  if (spec.memory < least.memory) report.problem([...path, 'memory'], 'must be at least 16MiB: less starts no server')
  if (spec.tmp < least.tmp) report.problem([...path, 'tmp'], 'must be at least 1MiB')
  if (spec.fileSize < least.fileSize) report.problem([...path, 'file_size'], 'must be larger than 0')
}

function checkUnsandboxed (raw: RawUpstream['sandbox'], given: RawSandbox, path: Path, { report, allowUnsandboxed }: Surroundings): void {
  const at = raw === 'none' ? path : [...path, 'mode']
  if (!allowUnsandboxed) report.problem(at, `${raw === 'none' ? '"sandbox: none"' : '"mode: none"'} ${needsFlag}`)
  else report.warning(at, 'runs without a sandbox: this server may do everything the gateway may')
  const idle = Object.keys(given).filter((key) => key !== 'mode')
  if (idle.length > 0) report.problem(path, `"mode: none" makes ${idle.join(', ')} meaningless: remove one or the other`)
}

type Granted = Grant & { readonly access: Access, readonly path: Path }

/** The writable grants come first, so that a colliding read-only one is where the problem is shown. */
function readGrants (raw: RawSandbox, path: Path, around: Surroundings): Pick<SandboxSpec, 'read' | 'write'> {
  const all: Granted[] = []
  for (const access of ['write', 'read'] as const) {
    for (const [index, text] of present(raw[access])) {
      const at = [...path, access, index]
      const grant = readGrant(text, access, at, around)
      if (grant !== undefined) all.push({ ...grant, access, path: at })
    }
  }
  reportCollisions(all, around)
  const only = (access: Access) => all.filter((grant) => grant.access === access).map(({ source, target }) => ({ source, target }))
  return { read: only('read'), write: only('write') }
}

function reportCollisions (grants: readonly Granted[], { report }: Surroundings): void {
  for (const [index, grant] of grants.entries()) {
    const problem = collision(grant.target, grants.filter((_, other) => other < index || (other > index && grants[other]?.target !== grant.target)))
    if (problem !== undefined) report.problem(grant.path, problem)
  }
}

function readGrant (text: string, access: Access, path: Path, around: Surroundings): Grant | undefined {
  const expanded = expand(text, path, around)
  if (!around.report.clean(path)) return undefined
  const colon = expanded.indexOf(':')
  const source = colon === -1 ? expanded : expanded.slice(0, colon)
  const problem = spellingProblem(source)
  if (problem !== undefined) {
    around.report.problem(path, problem)
    return undefined
  }
  const absolute = resolve(around.directory, source)
  const target = colon === -1 ? absolute : expanded.slice(colon + 1)
  const refusal = grantProblem(absolute, access, around) ?? badTarget(target, colon !== -1)
  if (refusal !== undefined) around.report.problem(path, refusal)
  return refusal === undefined ? { source: absolute, target: target.replace(/(?<=.)\/$/, '') } : undefined
}

/** Only `${env:…}` means something here: the paths of a sandbox are the same for every user. */
function expand (text: string, path: Path, { env, report }: Surroundings): string {
  for (const reference of references(text)) {
    const problem = referenceProblem(reference) ?? (reference.kind === 'env' ? undefined : `only \${env:…} is replaced in paths, not "\${${reference.kind === 'literal' ? '' : `${reference.kind}…`}}"`)
    if (problem !== undefined) report.problem(path, problem, reference.offset)
  }
  return resolveEnvironment(text, env, (message, offset) => report.problem(path, message, offset))
}

function spellingProblem (source: string): string | undefined {
  if (source === '') return 'is empty: write a path, or path:target'
  if (source.startsWith('~')) return `"~" is not expanded: write the full path, for example ${join(homedir(), source.replace(/^~[^/]*\/?/, ''))}`
  const variable = /\$([A-Za-z_][A-Za-z0-9_]*)/.exec(source)?.[1]
  return variable === undefined ? undefined : `"$${variable}" is not expanded: write \${env:${variable}} or the full path`
}

function badTarget (target: string, given: boolean): string | undefined {
  if (given && /^(?:ro|rw|z|Z)(?:,|$)/.test(target)) return `"${target}" is not a target: whether a grant is writable is decided by the list it stands in, read or write`
  const problem = targetProblem(target)
  if (problem === undefined) return undefined
  return `the target "${target}" ${problem}${given ? '' : ': name another with path:target'}`
}

/** Asks the rules about the path as written and about what it really is behind symbolic links. */
function grantProblem (source: string, access: Access, around: Surroundings): string | undefined {
  const context = contextOf(around)
  const written = sourceProblem(source, access, context)
  if (written !== undefined) return `"${source}" must not be granted: it ${written}`
  const real = realPath(source)
  const behind = sourceProblem(real, access, context)
  return behind === undefined ? undefined : `"${source}" must not be granted: it leads to "${real}", which ${behind}`
}

function contextOf ({ data, file }: Surroundings): GrantContext {
  return {
    protect: [...new Set([data, file].flatMap((path) => [path, realPath(path)]))],
    code: ['src', 'plugins', 'db', 'dist', 'ui', 'scripts', 'node_modules', 'package.json'].map((name) => join(installation, name)),
    homes: [homedir()],
  }
}

/** The package's root: two directories above this file, in src/ as in dist/src/. */
const installation = packageRoot(dirname(fileURLToPath(import.meta.url)))

function packageRoot (directory: string): string {
  const root = resolve(directory, '../..')
  return basename(root) === 'dist' ? dirname(root) : root
}

/** The real path of what exists of it; the rest as written. */
function realPath (path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(realPath(parent), basename(path))
  }
}
