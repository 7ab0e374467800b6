import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ancestors } from './host.ts'
import type { Host } from './host.ts'
import { SandboxError } from './sandbox-error.ts'
import { addressesIn, Unpinnable } from './unpinnable.ts'

/**
 * What `npx ARGS` means here: the program of a package that is installed already, in a node_modules directory at or
 * above `directory` or Portcullis itself. Nothing is downloaded.
 * @returns a command that starts with `node`
 * @throws SandboxError with the command that installs what is missing
 */
export function npxTarget (args: readonly string[], directory: string, host: Host): string[] {
  const target = installedTarget(args, directory, host)
  if (target !== undefined) return target
  const { wanted } = readNpx(args)
  throw notInstalled(wanted, installed(wanted.name, directory, host), directory)
}

/** The same, but undefined where no copy that fits is installed. */
export function installedTarget (args: readonly string[], directory: string, host: Host): string[] | undefined {
  const { wanted, program, rest } = readNpx(args)
  const match = installed(wanted.name, directory, host).find(({ version }) => satisfies(version, wanted.range))
  return match === undefined ? undefined : ['node', binOf(match, program), ...rest]
}

/**
 * The script of a package's program in the node_modules directory it was installed into.
 * @throws SandboxError when it is not there, or has no such program
 */
export function programIn (modules: string, name: string, program: string | undefined, host: Host): string {
  const folder = join(modules, name)
  const manifest = host.text(join(folder, 'package.json'))
  if (manifest === undefined) throw new SandboxError(`${folder} holds no package.`)
  return binOf(readManifest(folder, name, manifest), program)
}

interface Wanted { readonly name: string, readonly range: string | undefined }
interface Installed { readonly directory: string, readonly name: string, readonly version: string, readonly bin: unknown }

const harmless = ['-y', '--yes', '-q', '--quiet', '--no', '--no-install', '--offline', '--prefer-offline']

/**
 * What the arguments of npx say: a package, its program when it was named apart, and what the program is given.
 * @throws Unpinnable for what is not one package of a registry; SandboxError for what npx would not understand either
 */
export function readNpx (args: readonly string[]): { wanted: Wanted, program: string | undefined, rest: string[] } {
  const named: string[] = []
  let index = 0
  for (; index < args.length; index++) {
    const argument = args[index] ?? ''
    if (argument === '--') { index++; break }
    if (argument === '-p' || argument === '--package') named.push(args[++index] ?? '')
    else if (argument.startsWith('--package=')) named.push(argument.slice('--package='.length))
    else if (argument.startsWith('-') && !harmless.includes(argument)) throw new Unpinnable(`With npx ${argument} nothing says beforehand what is installed.`, 'Write npx -y <package> <arguments>.', args.flatMap(addressesIn))
    else if (!argument.startsWith('-')) break
  }
  if (named.length > 1) throw new Unpinnable(`npx with ${named.length} packages (${named.join(', ')}) has no single one to pin.`, 'Write npx -y <package> <arguments>.', named.flatMap(addressesIn))
  const [first, ...rest] = args.slice(index)
  const spec = named[0] ?? first
  if (spec === undefined || first === undefined) throw new SandboxError('npx names no package.', 'Write npx -y <package> <arguments>.')
  return { wanted: readSpec(spec), program: named.length === 0 ? undefined : first, rest }
}

function readSpec (spec: string): Wanted {
  const parts = /^(@[a-z0-9-~][a-z0-9-._~]*\/)?([a-z0-9-~][a-z0-9-._~]*)(?:@(.+))?$/i.exec(spec)
  if (parts === null) throw /^[./~]/.test(spec) ? new SandboxError(`npx ${spec} is a folder or a file.`, 'Write node <file>.') : new Unpinnable(`npx ${spec} is not the name of a package in the registry.`, 'Install it and write node <file>.', addressesIn(spec))
  if (/[:/]/.test(parts[3] ?? '')) throw new Unpinnable(`npx ${spec} does not come from a registry under this name.`, 'Name a version, or install it beside upstreams.yaml.', addressesIn(parts[3] ?? ''))
  return { name: `${parts[1] ?? ''}${parts[2] ?? ''}`, range: parts[3] }
}

/** Every copy of the package that is in reach, nearest first. */
function installed (name: string, directory: string, host: Host): Installed[] {
  const roots = [...ancestors(directory), ...ancestors(dirname(fileURLToPath(import.meta.url)))]
  return [...new Set(roots)].flatMap((root) => {
    const folder = host.real(join(root, 'node_modules', name))
    const manifest = folder === undefined ? undefined : host.text(join(folder, 'package.json'))
    return folder === undefined || manifest === undefined ? [] : [readManifest(folder, name, manifest)]
  })
}

function readManifest (directory: string, name: string, manifest: string): Installed {
  try {
    const { version, bin } = JSON.parse(manifest) as { version?: unknown, bin?: unknown }
    return { directory, name, version: typeof version === 'string' ? version : '', bin }
  } catch (error) {
    throw new SandboxError(`${join(directory, 'package.json')} is not valid JSON.`, 'Install the package anew.', error)
  }
}

/** As npx chooses: the program asked for, else the only one, else the one named like the package. */
function binOf ({ directory, name, bin }: Installed, program: string | undefined): string {
  const short = basename(name)
  const bins: Readonly<Record<string, unknown>> = typeof bin === 'string' ? { [short]: bin } : typeof bin === 'object' && bin !== null ? { ...bin } : {}
  const names = Object.keys(bins)
  const path = bins[program ?? (names.length === 1 ? names[0] ?? short : short)]
  if (typeof path === 'string') return join(directory, path)
  const which = names.length === 0 ? 'has no programs' : `has the programs ${names.join(', ')}`
  throw new SandboxError(`The package ${name} ${which}${program === undefined ? '' : `, not ${program}`}.`, names.length === 0 ? undefined : `Write npx --package ${name} <program>.`)
}

/** Exact versions, `^`, `~`, and leading parts (`1`, `1.2`, `1.x`). A tag such as `latest` means what is installed. */
function satisfies (version: string, range: string | undefined): boolean {
  if (range === undefined || range === '*' || /^[a-z][a-z0-9-]*$/i.test(range)) return true
  const operator = /^[~^]/.exec(range)?.[0]
  if (operator === undefined) return version === range || (/^\d+(\.\d+)?(\.x)*$/.test(range) && `${version}.`.startsWith(`${range.replace(/(\.x)+$/, '')}.`))
  const floor = numbers(range.slice(1))
  const given = numbers(version)
  if (floor === undefined || given === undefined) return false
  const fixed = operator === '~' ? 2 : (floor.findIndex((part) => part > 0) + 1) || floor.length
  const order = compare(given, floor)
  return order >= 0 && compare(given.slice(0, fixed), floor.slice(0, fixed)) === 0
}

function numbers (version: string): number[] | undefined {
  const parts = /^(\d+)\.(\d+)\.(\d+)$/.exec(version)
  return parts === null ? undefined : parts.slice(1).map(Number)
}

function compare (left: readonly number[], right: readonly number[]): number {
  return left.map((part, index) => part - (right[index] ?? 0)).find((difference) => difference !== 0) ?? 0
}

function notInstalled ({ name, range }: Wanted, found: readonly Installed[], directory: string): SandboxError {
  const spec = range === undefined ? name : `${name}@${range}`
  const instead = found.length === 0 ? '' : ` (installed: ${found.map(({ version }) => version).join(', ')})`
  return new SandboxError(`The package ${spec} is not installed${instead}, and nothing is downloaded when an upstream starts.`, `Run npm install ${spec} in ${directory}, then start it again.`)
}
