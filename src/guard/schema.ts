import { compileForeign } from './linear.ts'

/** A tool's input schema, fit to be compiled: only keywords that say something, only references into itself. */
export type Schema = boolean | { [keyword: string]: unknown }

export interface Prepared {
  readonly schema: Schema
  /** What of the original is not checked, and why. */
  readonly warnings: readonly string[]
}

/** The schema cannot be checked, or only at a price an upstream must not choose. `message` is one sentence. */
export class SchemaRefused extends Error {}

/** The most demanding schema of 468 real tools has 12 KiB, 20 levels of JSON and no pattern the engine does not know. */
const maxBytes = 128 * 1024
const maxDepth = 32
const maxNodes = 2000
const maxPatterns = 50

const one = ['not', 'if', 'then', 'else', 'items', 'additionalProperties', 'unevaluatedItems', 'unevaluatedProperties', 'contains', 'propertyNames']
const many = ['allOf', 'anyOf', 'oneOf', 'prefixItems']
const named = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas']
const plain = [
  'type', 'nullable', 'enum', 'const', 'required', 'dependentRequired', 'format', 'uniqueItems', 'multipleOf', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum',
  'minLength', 'maxLength', 'minItems', 'maxItems', 'minContains', 'maxContains', 'minProperties', 'maxProperties', '$anchor',
]

/** Below these a subschema is applied once per item or property of the arguments. */
const loops = new Set(['items', 'additionalProperties', 'unevaluatedItems', 'unevaluatedProperties', 'contains', 'propertyNames', 'patternProperties'])

/** Copies what a validator needs out of an untrusted schema of any draft. Throws SchemaRefused. */
export function prepareSchema (inputSchema: unknown): Prepared {
  if (!isObject(inputSchema)) throw new SchemaRefused('The tool has no input schema that is a JSON object.')
  measure(inputSchema)
  const copy = new Copy()
  const schema = copy.of(inputSchema, '', 0, false)
  copy.resolveReferences()
  return { schema, warnings: copy.warnings }
}

function measure (schema: object): void {
  let bytes: number
  try {
    bytes = Buffer.byteLength(JSON.stringify(schema))
  } catch {
    throw new SchemaRefused('The input schema is nested too deeply.')
  }
  if (bytes > maxBytes) throw new SchemaRefused(`The input schema has ${bytes} bytes; ${maxBytes} are accepted.`)
}

class Copy {
  readonly warnings: string[] = []
  /** Pointer or anchor → the copy at that place, and what one visit of it costs. */
  readonly #places = new Map<string, { copy: Schema, weight: number }>()
  readonly #references: string[] = []
  #nodes = 0
  #weight = 0
  #patterns = 0

  of (source: unknown, at: string, depth: number, looped: boolean): Schema {
    const before = this.#weight++
    if (++this.#nodes > maxNodes) throw new SchemaRefused(`The input schema has more than ${maxNodes} subschemas.`)
    if (depth > maxDepth) throw new SchemaRefused(`The input schema is nested more than ${maxDepth} levels deep.`)
    if (typeof source === 'boolean') return this.#place(at, source, 1)
    if (!isObject(source)) throw new SchemaRefused(`The input schema has no schema at ${at || 'its top'}.`)
    const copy = this.#object(modernised(source), at, depth)
    const weight = this.#weight - before
    if (looped) copy.portcullisWork = weight
    if (typeof copy.$anchor === 'string') this.#place(copy.$anchor, copy, weight)
    return this.#place(at, copy, weight)
  }

  /** Every visit through a reference is charged; how often that happens is up to the arguments. */
  resolveReferences (): void {
    for (const reference of this.#references) {
      const place = this.#resolve(reference)
      if (place === undefined) throw new SchemaRefused(`The input schema refers to ${JSON.stringify(reference.slice(0, 200))}, which is not a schema inside it.`)
      if (typeof place.copy === 'object') place.copy.portcullisWork = place.weight
    }
  }

  #place (at: string, copy: Schema, weight: number): Schema {
    this.#places.set(at, { copy, weight })
    return copy
  }

  #resolve (reference: string): { copy: Schema, weight: number } | undefined {
    if (!reference.startsWith('#')) return undefined
    try {
      return this.#places.get(decodeURIComponent(reference.slice(1)))
    } catch {
      return undefined
    }
  }

  #object (source: Record<string, unknown>, at: string, depth: number): Record<string, unknown> {
    const copy: Record<string, unknown> = {}
    const sub = (value: unknown, keyword: string, key?: string | number): Schema =>
      this.of(value, `${at}/${keyword}${key === undefined ? '' : `/${escape(String(key))}`}`, depth + 1, loops.has(keyword))
    for (const keyword of plain) if (source[keyword] !== undefined) copy[keyword] = source[keyword]
    for (const keyword of one) if (source[keyword] !== undefined) copy[keyword] = sub(source[keyword], keyword)
    for (const keyword of many) if (source[keyword] !== undefined) copy[keyword] = list(source[keyword], at, keyword).map((item, index) => sub(item, keyword, index))
    for (const keyword of named) {
      if (source[keyword] === undefined) continue
      const entries = Object.entries(record(source[keyword], at, keyword)).filter(([key]) => key !== '__proto__')
      copy[keyword] = Object.fromEntries(entries.map(([key, value]) => [key, sub(value, keyword, key)]))
    }
    this.#keepReference(source, copy)
    this.#keepPatterns(source, copy, at)
    for (const values of [copy.enum, copy.required]) if (Array.isArray(values)) this.#weight += values.length / 10
    return copy
  }

  #keepReference (source: Record<string, unknown>, copy: Record<string, unknown>): void {
    if (source.$ref === undefined) return
    copy.$ref = source.$ref
    this.#references.push(String(source.$ref))
  }

  /** A pattern the linear engine does not know is left out, and so is what would then refuse the properties it matched. */
  #keepPatterns (source: Record<string, unknown>, copy: Record<string, unknown>, at: string): void {
    if (typeof source.pattern === 'string' && this.#supported(source.pattern, at)) copy.pattern = source.pattern
    const properties = copy.patternProperties
    if (!isObject(properties)) return
    for (const pattern of Object.keys(properties)) {
      if (this.#supported(pattern, at)) continue
      delete properties[pattern]
      delete copy.additionalProperties
      delete copy.unevaluatedProperties
    }
  }

  #supported (pattern: string, at: string): boolean {
    if (++this.#patterns > maxPatterns) throw new SchemaRefused(`The input schema has more than ${maxPatterns} patterns.`)
    try {
      compileForeign(pattern)
      return true
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.warnings.push(`The pattern at ${at || 'the top'} of the input schema is not checked: ${reason.slice(0, 200)}`)
      return false
    }
  }
}

/** Older spellings in the words of 2020-12. Within one document a dynamic reference is a plain one. */
function modernised (source: Record<string, unknown>): Record<string, unknown> {
  const schema = { ...source }
  if (Array.isArray(schema.items)) Object.assign(schema, { prefixItems: schema.items, items: schema.additionalItems })
  if (isObject(schema.dependencies)) Object.assign(schema, splitDependencies(schema.dependencies, schema))
  if (schema.$dynamicRef !== undefined) schema.$ref ??= schema.$dynamicRef
  if (schema.$dynamicAnchor !== undefined) schema.$anchor ??= schema.$dynamicAnchor
  if (typeof schema.required === 'boolean') delete schema.required
  if (schema.type === undefined) delete schema.nullable
  for (const [limit, exclusive] of [['minimum', 'exclusiveMinimum'], ['maximum', 'exclusiveMaximum']] as const) {
    if (typeof schema[exclusive] !== 'boolean') continue
    if (schema[exclusive] && schema[limit] !== undefined) schema[exclusive] = schema[limit]
    else delete schema[exclusive]
  }
  return schema
}

function splitDependencies (dependencies: Record<string, unknown>, schema: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(dependencies)
  return {
    dependentRequired: Object.fromEntries([...Object.entries(schema.dependentRequired ?? {}), ...entries.filter(([, value]) => Array.isArray(value))]),
    dependentSchemas: Object.fromEntries([...Object.entries(schema.dependentSchemas ?? {}), ...entries.filter(([, value]) => !Array.isArray(value))]),
  }
}

function list (value: unknown, at: string, keyword: string): unknown[] {
  if (!Array.isArray(value)) throw new SchemaRefused(`The input schema has no list at ${at}/${keyword}.`)
  return value
}

function record (value: unknown, at: string, keyword: string): Record<string, unknown> {
  if (!isObject(value)) throw new SchemaRefused(`The input schema has no object at ${at}/${keyword}.`)
  return value
}

/** JSON pointer escapes (RFC 6901, section 3). */
function escape (key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}

export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
