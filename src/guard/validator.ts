import { Ajv2020 } from 'ajv/dist/2020.js'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'

import { compileForeign } from './linear.ts'
import type { Schema } from './schema.ts'

/**
 * Ajv, set up for schemas of strangers: patterns run on the linear engine, and the work one validation may do is counted,
 * because a few nested references can ask for 2^30 visits.
 */

/** Thrown out of a validation that costs more than its arguments can honestly need. */
export class TooMuchWork extends Error {}

/** What is free before the size of the arguments is looked at, what each value of them adds, and where it ends. */
const freeWork = 20_000
const workPerValue = 40
const maxWork = 300_000
/** The format expressions of ajv-formats backtrack, some of them in quadratic time. 2020-12 allows not to assert a format. */
const maxFormatLength = 1000
/** Ajv keeps what it compiled for as long as it lives, so it lives for this many schemas. */
const schemasPerInstance = 200

let left = 0
let extra = (): number => 0

/**
 * Runs one validation of `args` with a fresh budget: one unit per subschema applied in a loop or through a reference, and per
 * ten characters a pattern looks at. Failures cost memory, about a kilobyte a unit. Throws TooMuchWork.
 */
export function withinBudget (validate: ValidateFunction, args: unknown): boolean {
  left = freeWork
  extra = () => Math.min(maxWork, workPerValue * sizeOf(args)) - freeWork
  return validate(args)
}

function spend (amount: number): void {
  left -= amount
  if (left >= 0) return
  left += extra()
  extra = () => 0
  if (left < 0) throw new TooMuchWork()
}

function sizeOf (value: unknown): number {
  if (typeof value === 'string') return 1 + value.length / 10
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce((sum: number, item) => sum + sizeOf(item), 1)
}

/** `first` stops at the first error; `all` collects every error. */
export function compileSchema (schema: Schema, errors: 'first' | 'all'): ValidateFunction {
  const current = instances[errors]
  if (current.used++ >= schemasPerInstance) Object.assign(current, { used: 1, ajv: createAjv(errors === 'all') })
  return current.ajv.compile(schema)
}

const instances = { first: { used: 0, ajv: createAjv(false) }, all: { used: 0, ajv: createAjv(true) } }

function createAjv (all: boolean): Ajv2020 {
  const ajv = new Ajv2020({
    strict: false,
    meta: false,
    validateSchema: false,
    logger: false,
    // Inherited names such as "constructor" are not properties of the arguments.
    ownProperties: true,
    // Inlining would let a schema of many references grow by multiplication while it is compiled.
    inlineRefs: false,
    allErrors: all,
    verbose: true,
    // Optimising the generated code costs three times the compilation and wins 40 ns a call.
    code: { optimize: false, regExp: linearEngine },
  })
  formats.default(ajv)
  limitFormats(ajv)
  // Before any keyword that leads further, so that it is charged whether the subschema fits or not.
  ajv.addKeyword({ keyword: 'portcullisWork', before: '$ref', schemaType: 'number', errors: false, compile: (amount: number) => () => { spend(amount); return true } })
  ajv.removeKeyword('uniqueItems')
  ajv.addKeyword({ keyword: 'uniqueItems', type: 'array', schemaType: 'boolean', error: { message: 'must not hold the same item twice' }, validate: (unique: boolean, items: unknown[]) => !unique || allDiffer(items) })
  return ajv
}

/** Ajv caches a pattern under the text of its `toString()`: it has to be as unique as the pattern. */
function linearEngine (pattern: string, flags: string): { test (text: string): boolean, toString (): string } {
  const compiled = compileForeign(pattern)
  const test = (text: string): boolean => {
    spend(1 + text.length / 10)
    return compiled.test(text)
  }
  return { test, toString: () => `linear/${pattern}/${flags}` }
}
linearEngine.code = 'linearEngine'

function limitFormats (ajv: Ajv2020): void {
  for (const [name, format] of Object.entries(ajv.formats)) {
    if (!(format instanceof RegExp) && typeof format !== 'function') continue
    const test = format instanceof RegExp ? (text: string) => format.test(text) : format
    ajv.addFormat(name, (text: string) => text.length > maxFormatLength || Boolean(test(text)))
  }
}

/** Ajv's own comparison looks at every pair. */
function allDiffer (items: unknown[]): boolean {
  return new Set(items.map(canonical)).size === items.length
}

function canonical (value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`
}
