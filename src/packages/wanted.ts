import { basename } from 'node:path'
import { readNpx } from '../sandbox/npx.ts'
import { SandboxError } from '../sandbox/sandbox-error.ts'
import { addressesIn, Unpinnable } from '../sandbox/unpinnable.ts'

/** What a command such as `npx`, `uvx` or `pipx run` asks a registry for, and what it runs of it. */
export interface Wanted {
  readonly registry: 'npm' | 'pypi'
  readonly name: string
  /** Which versions will do, as the registry's own tool writes it: `^1.2.0`, `==1.2`; undefined for any. */
  readonly range: string | undefined
  /** Extras of a Python package, with their brackets. */
  readonly extras: string
  /** The program to run, where it is named apart from the package. */
  readonly program: string | undefined
  readonly rest: readonly string[]
}

/**
 * Reads a command that would download its program; undefined for any other command.
 * @throws Unpinnable for what is not one package of a registry, and SandboxError for what names none, saying what to write instead
 */
export function readWanted (command: readonly string[]): Wanted | undefined {
  const [launcher = '', ...args] = command
  switch (basename(launcher)) {
    case 'npx': return fromNpx(args)
    case 'uvx': return fromPython('uvx', '--from', args)
    case 'uv': return args[0] === 'tool' && args[1] === 'run' ? fromPython('uv tool run', '--from', args.slice(2)) : undefined
    case 'pipx': return args[0] === 'run' ? fromPython('pipx run', '--spec', args.slice(1)) : undefined
    default: return undefined
  }
}

/** How a package is named in the lock file, in errors and in records. */
export function nameOf ({ registry, name, extras, range = '' }: Pick<Wanted, 'registry' | 'name' | 'extras' | 'range'>): string {
  return `${registry}:${name}${extras}${registry === 'npm' && range !== '' ? '@' : ''}${range}`
}

function fromNpx (args: readonly string[]): Wanted {
  const { wanted, program, rest } = readNpx(args)
  return { registry: 'npm', ...wanted, extras: '', program, rest }
}

const harmless = ['-q', '--quiet', '--offline', '--no-progress', '--isolated']

function fromPython (launcher: string, option: string, args: readonly string[]): Wanted {
  let spec: string | undefined
  let index = 0
  for (; args[index]?.startsWith('-') === true; index++) {
    const argument = args[index] ?? ''
    if (argument === option) spec = args[++index] ?? ''
    else if (argument.startsWith(`${option}=`)) spec = argument.slice(option.length + 1)
    else if (!harmless.includes(argument)) throw new Unpinnable(`With ${launcher} ${argument} nothing says beforehand what is installed.`, `Write ${launcher} ${option} <package> <program> <arguments>.`, args.flatMap(addressesIn))
  }
  const [first, ...rest] = args.slice(index)
  if (first === undefined) throw new SandboxError(`${launcher} names no package.`, `Write ${launcher} <package> <arguments>.`)
  return { registry: 'pypi', ...readSpec(launcher, spec ?? first), program: spec === undefined ? undefined : first, rest }
}

const instead = 'Install it into a virtual environment and name its program: .venv/bin/…'

/** `name`, `name@1.2` and `name@latest` as uvx has them, or a requirement: `name[extra]>=1,<2`. */
function readSpec (launcher: string, spec: string): Pick<Wanted, 'name' | 'extras' | 'range'> {
  const parts = /^([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(\[[a-z0-9._,-]+\])?(?:@([a-z0-9.+!-]+)|((?:[=~<>!]=?|===)[a-z0-9.*+!,=~<>]+))?$/i.exec(spec)
  if (parts?.[1] === undefined) throw /^[./~]/.test(spec) ? new SandboxError(`${launcher} ${spec} is a folder or a file.`, instead) : new Unpinnable(`${launcher} ${spec} is not the name of a package in the registry.`, instead, addressesIn(spec))
  const [, name, extras = '', version, range] = parts
  return { name, extras, range: version === undefined ? range : version === 'latest' ? undefined : `==${version}` }
}
