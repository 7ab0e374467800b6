/**
 * Wildcard patterns over `upstream/name`. The first slash splits a pattern and a target alike, so the upstream part can
 * never reach into the name, while the `*` of the name part crosses the slashes of a resource URI.
 */

import { canonicalPieces } from './uri-forms.ts'

export interface TargetPattern {
  readonly text: string
  readonly upstream: Matcher
  readonly name: Matcher
  /** The name part for the canonical form of a resource URI. */
  readonly canonical: Matcher
  /** The name part is nothing but `*`: whatever the upstream offers is meant. */
  readonly everyName: boolean
}

export type Matcher = (text: string) => boolean

/** Names come from configuration or from a token's owner; nobody needs a longer one. */
const maxLength = 512

/** Compiles `upstream/name`. Throws an Error whose message says what is wrong with the pattern. */
export function compilePattern (text: string): TargetPattern {
  const slash = text.indexOf('/')
  if (text.length > maxLength) throw new Error(`The pattern is longer than ${maxLength} characters.`)
  if (slash < 1 || slash === text.length - 1) {
    throw new Error(`${JSON.stringify(text)} does not name a target: write "upstream/name", with * as a wildcard, for example "files/read_*" or "*/*".`)
  }
  const name = text.slice(slash + 1)
  return { text, upstream: compileWildcard(text.slice(0, slash)), name: compileWildcard(name), canonical: compilePieces(canonicalPieces(name.split('*'))), everyName: /^\*+$/.test(name) }
}

export function matchesTarget (pattern: TargetPattern, upstream: string, name: string): boolean {
  return pattern.upstream(upstream) && pattern.name(name)
}

/**
 * The same for a name that has several forms, the first of which is the one that was sent: what allows must match every
 * form, what denies needs to match some.
 */
export function matchesForms (pattern: TargetPattern, upstream: string, forms: readonly string[], how: 'every' | 'some'): boolean {
  return pattern.upstream(upstream) && forms[how]((form, at) => at === 0 ? pattern.name(form) : pattern.canonical(form))
}

/**
 * Compiles a text in which `*` stands for any run of characters, also for none. Each literal piece is looked for once,
 * leftmost first, and never again: there is nothing to backtrack into.
 */
export function compileWildcard (pattern: string): Matcher {
  return compilePieces(pattern.split('*'))
}

function compilePieces (pieces: readonly string[]): Matcher {
  const [first = '', ...rest] = pieces
  const last = rest.pop()
  if (last === undefined) return (text) => text === first
  const middle = rest.filter((piece) => piece !== '')
  if (first === '' && last === '' && middle.length === 0) return () => true
  return (text) => text.length >= first.length + last.length &&
    text.startsWith(first) && text.endsWith(last) && inOrder(middle, text, first.length, text.length - last.length)
}

function inOrder (pieces: readonly string[], text: string, from: number, end: number): boolean {
  for (const piece of pieces) {
    const at = text.indexOf(piece, from)
    if (at === -1) return false
    from = at + piece.length
    if (from > end) return false
  }
  return true
}
