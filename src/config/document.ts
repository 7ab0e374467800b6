import { isAlias, isCollection, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml'
import type { Alias, Document, Node, ParsedNode, YAMLParseError } from 'yaml'

import { openReport } from './report.ts'
import type { Anchor, Position, Report } from './report.ts'
import type { Path } from './problems.ts'

const maxBytes = 1024 * 1024
const maxAliases = 100
const maxNesting = 64
const tooDeep = 'nests too deeply'

/** One parsed YAML file: its value (undefined when it cannot be used) and a report that knows every value's place. */
export interface Source { readonly value: unknown, readonly report: Report }

/** Parses strictly: duplicate keys, tags, tabs, several documents and alias bombs are problems, with their place. */
export function readDocument (file: string, content: Uint8Array): Source {
  const text = decode(content)
  const refusal = text === undefined ? 'is not valid UTF-8 text' : unsafeShape(text)
  if (text === undefined || refusal !== undefined) {
    const report = openReport(file, () => ({ line: 1, column: 1 }))
    report.problem([], refusal ?? '')
    return { value: undefined, report }
  }
  return parse(file, text)
}

function parse (file: string, text: string): Source {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error', version: '1.2', schema: 'core' })
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  // A number at the top is an offset into the text, anywhere else one into the value.
  const report = openReport(file, (path, anchor) => position(path.length === 0 && typeof anchor === 'number' ? anchor : offsetOf(document, path, anchor, text)))
  const mistakes = syntaxProblems(document, text, position)
  for (const [offset, message] of mistakes) report.problem([], message, offset)
  if (mistakes.length > 0) return { value: undefined, report }
  return { value: document.toJS({ maxAliasCount: maxAliases }) as unknown, report }
}

function decode (content: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch {
    return undefined
  }
}

/** The parser recurses, and runs out of memory on thousands of nested brackets: refuse those before it sees them. */
function unsafeShape (text: string): string | undefined {
  if (text.length > maxBytes) return `is larger than ${maxBytes / 1024} KiB`
  if (text.includes('\0')) return 'contains a NUL character'
  let depth = 0
  // A new line closes one as well, so that brackets left open in comments and patterns don't add up.
  for (const [bracket] of text.matchAll(/[[\]{}\n]/g)) {
    depth = bracket === '[' || bracket === '{' ? depth + 1 : Math.max(0, depth - 1)
    if (depth > maxNesting) return 'nests brackets too deeply'
  }
  return /^[ \t]*(?:[-?:] ){64}/m.test(text) ? 'nests lists too deeply' : undefined
}

type SyntaxProblem = readonly [offset: number, message: string]

function syntaxProblems (document: Document.Parsed<ParsedNode>, text: string, position: (offset: number) => Position): SyntaxProblem[] {
  const found: SyntaxProblem[] = [...document.errors, ...document.warnings].map((error) => [error.pos[0], explain(error, text)])
  if (document.errors.length === 0) found.push(...aliasProblems(document), ...keyProblems(document))
  // The first mistake of a line is the cause of the others.
  const lines = new Set<number | string>()
  return found.filter(([offset, message]) => {
    const key = message === tooDeep ? message : position(offset).line
    return !lines.has(key) && lines.add(key)
  })
}

const hints: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab is used as indentation: YAML allows only spaces there',
  MULTIPLE_DOCS: 'a second document begins here ("---"): keep everything in one',
  BAD_DQ_ESCAPE: 'this backslash means something else inside "double quotes": write patterns in \'single quotes\'',
  BAD_SCALAR_START: 'a value cannot begin with this character: put it in quotes',
}

function explain (error: Pick<YAMLParseError, 'code' | 'message' | 'pos'>, text: string): string {
  const offset = error.pos[0]
  if (text[offset] === '{' && text[offset - 1] === '$') return 'inside [ ] or { } a reference must stand in quotes: "${…}"' // eslint-disable-line no-template-curly-in-string
  if (error.code === 'DUPLICATE_KEY') return `duplicate key ${/^[^\s:]*/.exec(text.slice(offset))?.[0] ?? ''}: keep one of them`
  if (error.message.includes('call stack')) return tooDeep
  const hint = hints[error.code]
  if (hint !== undefined) return hint
  if (error.code === 'TAG_RESOLVE_FAILED') return `${lower(error.message)}: YAML tags are not used here; a value that begins with "!" must stand in quotes`
  return `not valid YAML: ${lower(error.message)}`
}

function lower (text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}

/** Aliases that name nothing, that contain themselves, or that multiply. */
function aliasProblems (document: Document.Parsed): SyntaxProblem[] {
  const found: SyntaxProblem[] = []
  visit(document, {
    Alias (_key, alias, ancestors) {
      const target = alias.resolve(document)
      const offset = alias.range?.[0] ?? 0
      if (target === undefined) found.push([offset, `"*${alias.source}" refers to an anchor that does not exist: a value that begins with * must stand in quotes, "*${alias.source}"`])
      else if (ancestors.includes(target)) found.push([offset, `"*${alias.source}" refers to a value that contains it`])
    },
  })
  if (found.length === 0) {
    try {
      document.toJS({ maxAliasCount: maxAliases })
    } catch (error) {
      found.push([0, `the aliases of this file cannot be expanded: ${error instanceof Error ? lower(error.message) : String(error)}`])
    }
  }
  return found
}

function keyProblems (document: Document.Parsed): SyntaxProblem[] {
  const found: SyntaxProblem[] = []
  visit(document, {
    Pair (_key, pair) {
      const key = pair.key as Node | null
      const offset = key?.range?.[0] ?? 0
      if (!isScalar(key)) found.push([offset, 'a key must be plain text'])
      else if (key.value === '<<') found.push([offset, 'merge keys ("<<") are not supported: repeat the keys, or alias a whole value'])
    },
  })
  return found
}

/** Offset of the key or value at `path`; of the nearest existing parent when the path ends early. */
function offsetOf (document: Document.Parsed, path: Path, anchor: Anchor, text: string): number {
  let node: Node | null = document.contents
  let key: Node | null = null
  for (const step of path) {
    const next = child(document, node, step)
    if (next === undefined) break
    ({ key, value: node } = next)
  }
  if ((anchor === 'key' || anchor === 'stray') && key !== null) return start(key)
  const offset = node === null ? start(key) : start(node)
  return typeof anchor === 'number' && isScalar(node) ? offset + inside(node.value, text.slice(offset), anchor) : offset
}

function child (document: Document.Parsed, parent: Node | null, step: string | number): { key: Node | null, value: Node | null } | undefined {
  const node = isAlias(parent) ? resolve(document, parent) : parent
  if (isSeq(node)) return { key: null, value: (node.items[Number(step)] as Node | undefined) ?? null }
  if (!isMap(node)) return undefined
  const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value ?? '') === String(step))
  return pair === undefined ? undefined : { key: pair.key as Node, value: pair.value as Node | null }
}

function resolve (document: Document.Parsed, alias: Alias): Node | undefined {
  return alias.resolve(document) as Node | undefined
}

function start (node: Node | null): number {
  // The range of a flow or block collection begins at its first item or bracket.
  return node === null ? 0 : node.range?.[0] ?? (isCollection(node) ? start(node.items[0] as Node) : 0)
}

/** How far `characters` into a value lies in the source: exact where the source spells the value literally. */
function inside (value: unknown, source: string, characters: number): number {
  if (typeof value !== 'string') return 0
  if (source.startsWith(value)) return characters
  return source.slice(1).startsWith(value) ? characters + 1 : 0
}
