import { formatPath } from './problems.ts'
import type { Path, Problem } from './problems.ts'

/** Where in the file something stands, counted from 1. */
export interface Position { readonly line: number, readonly column: number }

/**
 * What of an entry a message points at: its key, its value (a number: so many characters into it), or `stray`: the
 * key again, but the path names the mapping it should not stand in.
 */
export type Anchor = 'key' | 'stray' | 'value' | number

export type Locate = (path: Path, anchor: Anchor) => Position

/** Collects every problem and warning of one reading, so that all are told at once. */
export interface Report {
  problem (path: Path, message: string, anchor?: Anchor): void
  /** Something that works, but that the operator would want to know. */
  warning (path: Path, message: string, anchor?: Anchor): void
  /** A problem with an environment variable. */
  variable (name: string, message: string): void
  /** A doubt about an environment variable. */
  variableWarning (name: string, message: string): void
  /** No problem at this path or below it: the value there can be used. */
  clean (path: Path): boolean
  position (path: Path, anchor?: Anchor): Position
  /** Problems of the file in the order of its lines. */
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
}

export function openReport (file: string, locate: Locate): Report {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const broken: Path[] = []
  const at = (path: Path, message: string, anchor: Anchor): Problem => ({ file, ...locate(path, anchor), path: formatPath(anchor === 'stray' ? path.slice(0, -1) : path), message })
  const outside = (name: string, message: string): Problem => ({ file: 'environment', line: 0, column: 0, path: name, message })
  return {
    problem (path, message, anchor = 'value') {
      const problem = at(path, message, anchor)
      broken.push(path)
      if (!problems.some((other) => other.path === problem.path && other.message === message && other.line === problem.line)) problems.push(problem)
    },
    warning (path, message, anchor = 'value') { warnings.push(at(path, message, anchor)) },
    variable (name, message) { problems.push(outside(name, message)) },
    variableWarning (name, message) { warnings.push(outside(name, message)) },
    clean: (path) => !broken.some((other) => startsWith(other, path)),
    position: (path, anchor = 'value') => locate(path, anchor),
    get problems () { return problems.toSorted(byPosition) },
    get warnings () { return warnings.toSorted(byPosition) },
  }
}

function startsWith (path: Path, prefix: Path): boolean {
  return prefix.every((step, index) => path[index] === step)
}

function byPosition (one: Problem, other: Problem): number {
  return one.line - other.line || one.column - other.column
}
