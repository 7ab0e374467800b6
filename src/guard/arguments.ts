import { hash } from 'node:crypto'

import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js'
import { LRUCache } from 'lru-cache'

import { isObject, prepareSchema, SchemaRefused } from './schema.ts'
import type { Prepared } from './schema.ts'
import { describeErrors, typeName } from './sentence.ts'
import { compileSchema, TooMuchWork, withinBudget } from './validator.ts'

/** Null when the arguments fit; otherwise one sentence for the model: where, what was expected, what was given. */
export interface ArgumentsCheck {
  (args: unknown): string | null
  /** Parts of the schema that cannot be checked in linear time and are therefore not checked. */
  readonly warnings: readonly string[]
  /** Why the schema itself is refused, or null. A refused schema accepts no arguments. */
  readonly refused: string | null
}

/** The instances of one upstream repeat the same schemas, once per user. */
const known = new LRUCache<string, ArgumentsCheck>({ max: 1000 })

/**
 * Compiles the input schema of a tool, of any JSON Schema draft. Never throws and never alters arguments: no coercion, no
 * defaults, nothing removed. Missing arguments count as `{}`. The validator itself is built at the first call, because
 * building one blocks for a millisecond or more and most tools of a catalogue are never called.
 */
export function compileArguments (inputSchema: unknown): ArgumentsCheck {
  const key = keyOf(inputSchema)
  const cached = key === undefined ? undefined : known.get(key)
  if (cached !== undefined) return cached
  const check = create(inputSchema)
  if (key !== undefined) known.set(key, check)
  return check
}

function keyOf (schema: unknown): string | undefined {
  try {
    const json = JSON.stringify(schema) as string | undefined
    return json === undefined ? undefined : hash('sha256', json)
  } catch {
    return undefined
  }
}

function create (inputSchema: unknown): ArgumentsCheck {
  try {
    const prepared = prepareSchema(inputSchema)
    return Object.assign(checkWith(prepared), { warnings: prepared.warnings, refused: null })
  } catch (error) {
    if (!(error instanceof SchemaRefused)) throw error
    return refuse(error.message)
  }
}

function refuse (reason: string): ArgumentsCheck {
  const sentence = `This tool cannot be called: its input schema is refused. ${reason}`
  return Object.assign(() => sentence, { warnings: [], refused: reason })
}

function checkWith (prepared: Prepared): (args: unknown) => string | null {
  let validate: ((args: unknown) => string | null) | undefined
  return (args = {}) => {
    if (!isObject(args)) return `Invalid arguments: the arguments must be an object, ${typeName(args)} was given.`
    validate ??= compile(prepared)
    return validate(args)
  }
}

function compile (prepared: Prepared): (args: unknown) => string | null {
  let first: ValidateFunction
  try {
    first = compileSchema(prepared.schema, 'first')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return () => `This tool cannot be called: its input schema is not valid JSON Schema (${reason.slice(0, 200)}).`
  }
  const explain = explainer(prepared)
  return (args) => {
    try {
      if (withinBudget(first, args)) return null
      return describeErrors(explain(args) ?? first.errors ?? [], args)
    } catch (error) {
      // A reference to itself without end, or arguments nested beyond the stack, end as a RangeError.
      if (!(error instanceof TooMuchWork || error instanceof RangeError)) throw error
      return 'Invalid arguments: checking them against the schema of the tool takes too long. Send fewer or smaller values.'
    }
  }
}

/** Every error instead of the first, for arguments so small that all of them together are no burden. */
function explainer (prepared: Prepared): (args: unknown) => ErrorObject[] | undefined {
  let all: ValidateFunction | undefined
  return (args) => {
    if (!isSmall(args)) return undefined
    all ??= compileSchema(prepared.schema, 'all')
    try {
      withinBudget(all, args)
      return all.errors ?? undefined
    } catch (error) {
      if (error instanceof TooMuchWork) return undefined
      throw error
    }
  }
}

const smallSize = 500

function isSmall (args: unknown): boolean {
  let left = smallSize
  const visit = (value: unknown): boolean => --left > 0 &&
    (typeof value !== 'object' || value === null || Object.values(value).every(visit))
  return visit(args)
}
