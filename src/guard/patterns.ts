import { LRUCache } from 'lru-cache'
import { RE2JS } from 're2js'

import type { GuardSpec } from '../config/config.ts'
import { compilePattern, matchesTarget } from '../policy/pattern.ts'
import type { TargetPattern } from '../policy/pattern.ts'
import { compileLinear } from './linear.ts'
import type { LinearPattern } from './linear.ts'
import { maxPieceLength, prefilterOf } from './prefilter.ts'
import type { Prefilter } from './prefilter.ts'
import { formsOf, isPlain } from './text.ts'

export interface Patterns {
  /** The first deny rule that matches any text or key of the arguments, or null. `tool` is `upstream/name`. */
  check (args: unknown, tool: string): { name: string } | null
}

/** Deny rules that cannot be enforced as they are written. */
export class GuardError extends Error {
  readonly problems: readonly { name: string, line: number, message: string }[]

  constructor (problems: GuardError['problems']) {
    super(problems.map(({ name, line, message }) => `line ${line}, guard ${name}: ${message}`).join('\n'))
    this.name = 'GuardError'
    this.problems = problems
  }
}

/** Reported as the rule's name when arguments are nested too deeply to be looked through. */
export const tooDeep = 'arguments-too-deep'
const maxDepth = 100

/** Reported as the rule's name when looking through all forms of all texts would keep everybody else waiting. */
export const tooMuch = 'arguments-too-complex'
/**
 * Bytes of all forms looked at, for each byte that arguments may have. Plain text takes four at most: every value twice,
 * in the look at all of them and in that at each.
 */
const workPerByte = 8
/** What a look costs however short the text is, in bytes. */
const workPerLook = 64

interface Rule { readonly name: string, readonly source: string, readonly regex: LinearPattern, readonly tool: TargetPattern | undefined }

/** Compiles the deny patterns (RE2 syntax) of the configuration. Throws a GuardError that lists all mistakes. */
export function compilePatterns (guards: Pick<GuardSpec, 'deny' | 'maxArguments'>): Patterns {
  const rules = compileRules(guards.deny)
  const byTool = new LRUCache<string, RuleSet>({ max: 1000 })
  const byRules = new Map<string, RuleSet>()
  const everywhere = rules.every(({ tool }) => tool === undefined) ? createSet(rules) : undefined

  const setFor = (tool: string): RuleSet => {
    const known = byTool.get(tool)
    if (known !== undefined) return known
    const applicable = rules.filter((rule) => rule.tool === undefined || matchesTool(rule.tool, tool))
    const key = applicable.map((rule) => rules.indexOf(rule)).join()
    const set = byRules.get(key) ?? createSet(applicable)
    byRules.set(key, set)
    if (tool.length < 300) byTool.set(tool, set)
    return set
  }
  const maxWork = workPerByte * guards.maxArguments
  return { check: (args, tool) => search(everywhere ?? setFor(tool), args, maxWork) }
}

function compileRules (deny: GuardSpec['deny']): Rule[] {
  const problems: { name: string, line: number, message: string }[] = []
  const rules = deny.flatMap(({ name, pattern, tool, line }) => {
    try {
      return [{ name, source: pattern, regex: compileLinear(pattern), tool: tool === undefined ? undefined : compilePattern(tool) }]
    } catch (error) {
      problems.push({ name, line, message: error instanceof Error ? error.message : String(error) })
      return []
    }
  })
  if (problems.length > 0) throw new GuardError(problems)
  return rules
}

function matchesTool (pattern: TargetPattern, tool: string): boolean {
  const slash = tool.indexOf('/')
  return matchesTarget(pattern, tool.slice(0, Math.max(slash, 0)), tool.slice(slash + 1))
}

interface RuleSet {
  readonly rules: readonly Rule[]
  /** All rules at once, to be asked about one text. */
  readonly one: LinearPattern
  /** All rules at once, to be asked about all texts at once. Undefined when only one text by itself gives the answer. */
  readonly any: LinearPattern | undefined
  readonly prefilter: Prefilter | undefined
}

/** Says where a text begins or ends, or that lines do not count: not to be asked about several texts in one. */
const needsOneText = /\\[AzZ]|\(\?[a-zA-Z]*-[a-zA-Z]*m/

function createSet (rules: readonly Rule[]): RuleSet {
  const sources = rules.map(({ source }) => source)
  const combinable = rules.length > 0 && !sources.some((source) => needsOneText.test(source))
  return {
    rules,
    one: combine(sources) ?? { test: (text) => rules.some(({ regex }) => regex.test(text)) },
    any: combinable ? combine(sources, RE2JS.MULTILINE) : undefined,
    prefilter: combinable ? prefilterOf(sources) : undefined,
  }
}

/** Undefined where patterns that are good by themselves make none together, as when two name a group alike. */
function combine (sources: readonly string[], flags?: number): LinearPattern | undefined {
  try {
    return compileLinear(sources.map((source) => `(?:${source})`).join('|'), flags)
  } catch {
    return undefined
  }
}

/** Three looks, from cheap to exact; the earlier ones only ever say that nothing can match. */
function search (set: RuleSet, args: unknown, maxWork: number): { name: string } | null {
  if (set.rules.length === 0 || args === undefined) return null
  const keys: string[] = []
  const values: string[] = []
  if (!collect(args, keys, values, 0)) return { name: tooDeep }
  if (set.prefilter !== undefined && isHarmless(set.prefilter, keys, values)) return null
  try {
    const look = new Look(maxWork)
    if (set.any !== undefined && !matchesTogether(look, set.any, keys, values)) return null
    return firstMatch(look, set, texts(keys, values))
  } catch (error) {
    if (error instanceof TooMuch) return { name: tooMuch }
    throw error
  }
}

class TooMuch extends Error {}

/** Asks a pattern about texts until that was too much work. */
class Look {
  #left: number

  constructor (maxWork: number) {
    this.#left = maxWork
  }

  /** The first form of the text that matches. Throws TooMuch. */
  at (text: string, pattern: LinearPattern): string | undefined {
    for (const form of isPlain(text) ? [text] : formsOf(text)) {
      this.#left -= Buffer.byteLength(form) + workPerLook
      if (this.#left < 0) throw new TooMuch()
      if (pattern.test(form)) return form
    }
    return undefined
  }
}

/** Of a long text, its ends are what a piece can share with a neighbour. */
function isHarmless (prefilter: Prefilter, keys: readonly string[], values: readonly string[]): boolean {
  let short = ''
  for (const value of values) {
    if (value.length <= 2 * maxPieceLength) {
      short += `${value} `
    } else {
      if (!isPlain(value) || prefilter.test(value.toLowerCase())) return false
      short += `${value.slice(0, maxPieceLength)} ${value.slice(-maxPieceLength)} `
    }
  }
  for (const key of keys) short += `\n${key}`
  return isPlain(short) && !prefilter.test(short.toLowerCase())
}

/** All texts in one, a line each, with `^` and `$` at every line: that matches whatever a rule matches in one of them. */
function matchesTogether (look: Look, any: LinearPattern, keys: readonly string[], values: readonly string[]): boolean {
  return look.at(together(keys, values), any) !== undefined
}

/** Neither white space nor a class of everything but line ends leads across: keys that make a command side by side make none. */
const apart = '\n\0\n'

function together (keys: readonly string[], values: readonly string[]): string {
  const each = [...values, ...keys].join(apart)
  return values.length > 1 ? `${each}${apart}${values.join(' ')}` : each
}

/** A command is often sent in pieces, ["rm", "-rf", "/"], so the values also count as one text. */
function texts (keys: readonly string[], values: readonly string[]): Iterable<string> {
  return new Set([...values, ...keys, values.join(' ')])
}

function firstMatch (look: Look, { rules, one }: RuleSet, candidates: Iterable<string>): { name: string } | null {
  for (const text of candidates) {
    const found = look.at(text, one)
    const rule = found === undefined ? undefined : rules.find(({ regex }) => regex.test(found))
    if (rule !== undefined) return { name: rule.name }
  }
  return null
}

function collect (value: unknown, keys: string[], values: string[], depth: number): boolean {
  if (typeof value === 'string') values.push(value)
  if (typeof value !== 'object' || value === null) return true
  if (depth >= maxDepth) return false
  if (Array.isArray(value)) return value.every((item) => collect(item, keys, values, depth + 1))
  for (const key of Object.keys(value)) {
    keys.push(key)
    if (!collect((value as Record<string, unknown>)[key], keys, values, depth + 1)) return false
  }
  return true
}
