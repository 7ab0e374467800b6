import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a directory, and those above it that are missing. Throws an Error that names the one that cannot be made and ends with `remedy`.
 * Step by step: where the kernel says ENOENT for a directory that could have a parent, as below /proc, `recursive` never ends (Node 20).
 */
export function makeDirectory (path: string, mode: number, remedy: string): void {
  const missing: string[] = []
  for (let at = path; !isDirectory(at, remedy); at = dirname(at)) missing.unshift(at)
  for (const each of missing) makeOne(each, mode, remedy)
}

/** False when there is nothing. */
function isDirectory (path: string, remedy: string): boolean {
  try {
    if (statSync(path).isDirectory()) return true
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    throw cannot(path, code, remedy, error)
  }
  throw new Error(`${path} is not a directory. ${remedy}`)
}

function makeOne (path: string, mode: number, remedy: string): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    // Another process may have been quicker.
    if (codeOf(error) !== 'EEXIST') throw cannot(path, codeOf(error), remedy, error)
  }
}

function cannot (path: string, code: string, remedy: string, cause: unknown): Error {
  return new Error(`The directory ${path} cannot be made (${code}). ${remedy}`, { cause })
}

function codeOf (error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
