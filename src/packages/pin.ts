import { createHash } from 'node:crypto'
import { isObject } from '../protocol/message.ts'

/** One package of what is installed: what a registry must deliver, byte for byte. */
export interface Piece {
  readonly name: string
  readonly version: string
  /** As the registry's own tool writes it: `sha512-…`, `sha256:…`. */
  readonly integrity: string
}

/** What a registry's own tool needs to install exactly the same again. */
export type Plan =
  /** npm's package-lock.json. */
  | { readonly npm: { readonly packages: Readonly<Record<string, Readonly<Record<string, unknown>>>>, readonly [key: string]: unknown } }
  | { readonly pypi: readonly Piece[] }

/** One upstream's package as it was approved. */
export interface Pin {
  /** What upstreams.yaml asked for: `npm:name@^1.2`. */
  readonly wanted: string
  readonly version: string
  readonly integrity: string
  /** Of all pieces of the plan: another digest is another program. */
  readonly digest: string
  readonly plan: Plan
}

/**
 * The pin of `name` by the plan that a registry's tool has made.
 * @throws Error when the package itself is not in the plan, or a piece of it has no digest
 */
export function pinOf (wanted: string, name: string, plan: Plan): Pin {
  const pieces = piecesOf(plan)
  const own = pieces.find((piece) => canonical(piece.name) === canonical(name))
  const open = pieces.find(({ integrity }) => integrity === '')
  if (own === undefined) throw new Error(`${name} is not among what would be installed`)
  if (open !== undefined) throw new Error(`${open.name} ${open.version} does not come from the registry, so nothing says what it must be`)
  return { wanted, version: own.version, integrity: own.integrity, digest: digestOf(plan), plan }
}

/** `sha256-` and the digest of all pieces. */
export function digestOf (plan: Plan): string {
  return `sha256-${createHash('sha256').update(JSON.stringify(piecesOf(plan).map(({ name, version, integrity }) => [name, version, integrity]))).digest('hex')}`
}

/** Everything that would be installed, in the order of names; npm may want one package in several versions. */
export function piecesOf (plan: Plan): Piece[] {
  const pieces = 'pypi' in plan ? plan.pypi : Object.entries(plan.npm.packages).filter(([path, { inBundle }]) => path !== '' && inBundle !== true).map(npmPiece)
  return pieces.toSorted((left, right) => order(keyOf(left), keyOf(right)))
}

/** Packages that ask for scripts to be run when they are installed. None is, so that they may not work. */
export function scriptsOf (plan: Plan): string[] {
  return 'pypi' in plan ? [] : Object.entries(plan.npm.packages).filter(([, { hasInstallScript }]) => hasInstallScript === true).map(([path]) => nameAt(path))
}

/** What another plan would change, a line a piece; other content under the same version comes first, since nobody honest does that. */
export function changes (before: Plan, after: Plan): string[] {
  const old = new Map(piecesOf(before).map((piece) => [keyOf(piece), piece.integrity]))
  const now = new Map(piecesOf(after).map((piece) => [keyOf(piece), piece.integrity]))
  return [
    ...[...now].filter(([key, integrity]) => old.has(key) && old.get(key) !== integrity).map(([key]) => `! ${key} has other content under the same version`),
    ...[...old.keys()].filter((key) => !now.has(key)).map((key) => `- ${key}`),
    ...[...now.keys()].filter((key) => !old.has(key)).map((key) => `+ ${key}`),
  ]
}

/** Whether a value that was read from a file has the shape of a plan. */
export function isPlan (value: unknown): value is Plan {
  if (!isObject(value)) return false
  const { npm, pypi } = value
  if (npm === undefined) return Array.isArray(pypi) && pypi.every((piece) => isObject(piece) && ['name', 'version', 'integrity'].every((key) => typeof piece[key] === 'string'))
  return isObject(npm) && isObject(npm['packages']) && Object.values(npm['packages']).every(isObject)
}

function npmPiece ([path, { version, integrity }]: [string, Readonly<Record<string, unknown>>]): Piece {
  return { name: nameAt(path), version: typeof version === 'string' ? version : '', integrity: typeof integrity === 'string' ? integrity : '' }
}

/** `node_modules/a/node_modules/@b/c` → `@b/c`. */
function nameAt (path: string): string {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
}

function keyOf ({ name, version }: Piece): string {
  return `${name} ${version}`
}

/** Python takes `A_b` and `a-b` for one name. */
function canonical (name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, '-')
}

function order (left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
