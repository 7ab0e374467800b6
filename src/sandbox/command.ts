import { basename, delimiter, dirname, isAbsolute, join, resolve } from 'node:path'
import { ancestors } from './host.ts'
import type { Host } from './host.ts'
import { npxTarget } from './npx.ts'
import { SandboxError } from './sandbox-error.ts'

/** A command with nothing left to look up: what to execute, and what must be visible for it to run. */
export interface Resolved {
  /** argv[0] is an absolute path. */
  readonly argv: readonly string[]
  /** Files and directories to show read-only, at the path they have on the host. */
  readonly visible: readonly string[]
  /** Directories that go in front of PATH, so that the program finds its own runtime's tools. */
  readonly path: readonly string[]
  readonly runtime: 'node' | 'python' | 'other'
}

/** Why a directory must not be shown as a whole, or undefined when it may. */
export type TooBroad = (directory: string) => string | undefined

/**
 * Resolves the command of an upstream as the gateway's own PATH and installed packages have it. Nothing is downloaded
 * and no shell is involved.
 * @param directory what relative paths and npx packages are resolved from
 * @param downloads whether a program that downloads another may run as it is written
 * @throws SandboxError saying what was not found and what to do
 */
export function resolveCommand (command: readonly string[], directory: string, host: Host, tooBroad: TooBroad, downloads = false): Resolved {
  return resolveProgram(command, { directory, host, tooBroad, downloads, depth: 0 })
}

/** Whether a path is part of the system that every cell sees. */
export function isSystemPath (path: string): boolean {
  return /^\/(usr|bin|sbin|lib|lib32|lib64|libx32)(\/|$)/.test(path)
}

interface Context { readonly directory: string, readonly host: Host, readonly tooBroad: TooBroad, readonly downloads: boolean, readonly depth: number }

/** `#!` may name another script, but not for ever. */
const maxDepth = 4

const launchers: Readonly<Record<string, string>> = {
  uvx: 'Install the package into a virtual environment (uv venv; uv pip install …) and name its program: .venv/bin/…',
  uv: 'Install the package into a virtual environment (uv sync) and name its program: .venv/bin/…',
  pipx: 'Install the package into a virtual environment (python3 -m venv .venv; .venv/bin/pip install …) and name its program: .venv/bin/…',
  docker: 'A container brings its own isolation and needs control of the host: run it yourself and give its address as url:.',
  podman: 'A container brings its own isolation and needs control of the host: run it yourself and give its address as url:.',
  npm: 'Write npx <package>, or node <file>.',
  pnpm: 'Install the package and write npx <package>, or node <file>.',
  yarn: 'Install the package and write npx <package>, or node <file>.',
  bunx: 'Install the package and write npx <package>, or bun <file>.',
}

/** What an upstream that is not pinned may be run by. */
const downloaders: ReadonlySet<string> = new Set(['npx', 'uvx', 'uv', 'pipx'])

function resolveProgram (command: readonly string[], context: Context): Resolved {
  const [name, ...rest] = command
  if (name === undefined || name === '') throw new SandboxError('The command is empty.', 'Write the program and its arguments.')
  const mayDownload = context.downloads && downloaders.has(basename(name))
  const advice = mayDownload ? undefined : launchers[basename(name)]
  if (advice !== undefined) throw new SandboxError(`"${name}" downloads or starts programs by itself, which a sandboxed upstream cannot do.`, advice)
  if (basename(name) === 'npx' && !mayDownload) return resolveProgram(npxTarget(rest, context.directory, context.host), context)

  const program = locate(name, context)
  const shebang = context.host.shebang(program)
  if (shebang !== undefined) return resolveScript(program, shebang, rest, context)
  const runtime = runtimeOf(program)
  const script = runtime === undefined ? undefined : scriptOf(runtime, rest, context)
  const argv = script === undefined ? rest : rest.with(script.index, script.path)
  const { path, visible } = showProgram(program, context)
  return {
    argv: [path, ...argv],
    visible: [...visible, ...(script === undefined ? [] : showScript(script.path, runtime === 'node', context))],
    path: isSystemPath(path) ? [] : [dirname(path)],
    runtime: runtime === 'node' || runtime === 'python' ? runtime : 'other',
  }
}

/** Runs the interpreter that a script names in its first line, since /usr/bin/env inside would look in another PATH. */
function resolveScript (program: string, shebang: string, rest: readonly string[], context: Context): Resolved {
  const words = shebang.slice(2).trim().split(/\s+/)
  const named = basename(words[0] ?? '') === 'env' ? words.slice(words[1] === '-S' ? 2 : 1) : words
  if (named.length === 0 || named[0] === '' || context.depth >= maxDepth) throw new SandboxError(`${program} does not say which interpreter runs it (its first line is "${shebang}").`)
  return resolveProgram([...named, context.host.real(program) ?? program, ...rest], { ...context, depth: context.depth + 1 })
}

function locate (name: string, { directory, host }: Context): string {
  if (name === 'node') return host.node
  if (name.includes('/')) {
    const path = isAbsolute(name) ? name : resolve(directory, name)
    if (!host.isExecutable(path)) throw new SandboxError(`There is no executable file at ${path}.`)
    return path
  }
  const path = host.lookup(name)
  if (path === undefined) throw new SandboxError(`The program "${name}" was not found on the gateway's PATH.`, 'Install it, or write its absolute path.')
  return basename(dirname(path)) === 'shims' ? behindShim(path, directory, host) : path
}

/** pyenv, nodenv and rbenv put a script on PATH that runs the version chosen by a file; that choice is made here. */
function behindShim (shim: string, directory: string, host: Host): string {
  const root = dirname(dirname(shim))
  const localFile = { '.pyenv': '.python-version', '.nodenv': '.node-version', '.rbenv': '.ruby-version' }[basename(root)]
  const files = [...(localFile === undefined ? [] : ancestors(directory).map((folder) => join(folder, localFile))), join(root, 'version')]
  const versions = files.flatMap((file) => host.text(file)?.split(/\s+/).filter((word) => /^[\w.-]+$/.test(word)) ?? [])
  const found = versions.map((version) => join(root, 'versions', version, 'bin', basename(shim))).find(host.isExecutable)
  if (found === undefined) throw new SandboxError(`${shim} is a shim that only a version manager can follow.`, 'Write the absolute path of the program itself.')
  return found
}

function runtimeOf (program: string): string | undefined {
  const name = /^(node|python|ruby|perl|bun|deno|php|sh|bash|dash)(js|[\d.]+)?$/.exec(basename(program))
  return name?.[1]
}

/** Options that take the next argument, so that it is not mistaken for the script. */
const valued: Readonly<Record<string, readonly string[]>> = {
  node: ['-r', '--require', '--import', '--loader', '--experimental-loader', '-C', '--conditions', '--env-file'],
  python: ['-W', '-X'],
}
/** Options after which there is no script file. */
const scriptless: Readonly<Record<string, readonly string[]>> = {
  node: ['-e', '--eval', '-p', '--print'],
  python: ['-c', '-m'],
  sh: ['-c'],
  bash: ['-c'],
  dash: ['-c'],
}

function scriptOf (runtime: string, args: readonly string[], { directory, host }: Context): { index: number, path: string } | undefined {
  for (let index = 0; index < args.length; index++) {
    const argument = args[index] ?? ''
    if (scriptless[runtime]?.includes(argument) === true) return undefined
    if (valued[runtime]?.includes(argument) === true) index++
    else if (!argument.startsWith('-')) {
      const path = host.real(resolve(directory, argument))
      return path !== undefined && host.kind(path) === 'file' ? { index, path } : undefined
    }
  }
  return undefined
}

/** The path to execute and what must be visible for it: the runtime's prefix, or the file alone where that would show too much. */
function showProgram (program: string, { host, tooBroad }: Context): { path: string, visible: string[] } {
  const real = host.real(program) ?? program
  const environment = dirname(dirname(program))
  if (host.kind(join(environment, 'pyvenv.cfg')) === 'file') { // Python finds a virtual environment by the path it was started as
    return { path: program, visible: [environment, ...isSystemPath(real) ? [] : [prefixOf(real, tooBroad)]] }
  }
  if (isSystemPath(real)) return { path: isSystemPath(program) ? program : real, visible: [] }
  return { path: real, visible: [prefixOf(real, tooBroad)] }
}

function prefixOf (program: string, tooBroad: TooBroad): string {
  const folder = dirname(program)
  const prefix = dirname(folder)
  return basename(folder) === 'bin' && tooBroad(prefix) === undefined ? prefix : program
}

function showScript (script: string, isNode: boolean, { host, tooBroad }: Context): string[] {
  if (isSystemPath(script)) return []
  const packages = /^(.*?\/node_modules)\//.exec(script)?.[1]
  if (packages !== undefined) return [packages]
  const folder = dirname(script)
  const own = tooBroad(folder) === undefined ? folder : script
  return [own, ...isNode ? packageOf(folder, host) : []]
}

/** What node reads above a script: the nearest package.json says whether it is a module, the nearest node_modules has what it imports. */
function packageOf (folder: string, host: Host): string[] {
  const nearest = (name: string, kind: 'file' | 'directory'): string | undefined =>
    ancestors(folder).map((ancestor) => join(ancestor, name)).find((path) => host.kind(path) === kind && host.real(path) === path)
  return [nearest('package.json', 'file'), nearest('node_modules', 'directory')].filter((path) => path !== undefined)
}

/** PATH inside a cell. */
export function innerPath (front: readonly string[]): string {
  return [...front, '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter)
}
