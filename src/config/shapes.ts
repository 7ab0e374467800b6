import Type from 'typebox'
import type { TObject, TOptional, TProperties, TSchema } from 'typebox'

import { durationPattern, sizePattern } from './units.ts'

type Mapping<Needed extends TProperties, Free extends TProperties> = TObject<Needed & { [Key in keyof Free]: TOptional<Free[Key]> }>

/** A mapping with these keys and no others. */
export function mapping<Needed extends TProperties, Free extends TProperties> (needed: Needed, free: Free, title: string, description?: string): Mapping<Needed, Free> {
  const optional = Object.fromEntries(Object.entries(free).map(([key, schema]) => [key, Type.Optional(schema)]))
  return Type.Object({ ...needed, ...optional }, { additionalProperties: false, title, ...(description === undefined ? {} : { description }) }) as Mapping<Needed, Free>
}

/** A mapping from names to values; `title` says what a name looks like. */
export function record<Value extends TSchema> (pattern: string, title: string, value: Value, options: { minProperties?: number, description?: string }) {
  return Type.Record(Type.String({ pattern }), value, { ...options, title: 'a mapping', additionalProperties: false, propertyNames: { title } })
}

export function list<Item extends TSchema> (item: Item, options: { minItems?: number, uniqueItems?: boolean, default?: unknown, description?: string }) {
  return Type.Array(item, { ...options, title: options.minItems === undefined ? 'a list' : 'a list with at least one entry' })
}

export function text (title: string, description?: string) {
  return Type.String({ title, ...(description === undefined ? {} : { description }) })
}

export function choice<Values extends string[]> (values: readonly [...Values], description: string, fallback: Values[number]) {
  return Type.Enum(values, { title: `one of ${values.join(', ')}`, description, default: fallback })
}

export function count (minimum: number, maximum: number, description: string, fallback?: number) {
  return Type.Integer({ minimum, maximum, title: `a whole number from ${minimum} to ${maximum}`, description, ...(fallback === undefined ? {} : { default: fallback }) })
}

export function size (description: string, fallback: string) {
  return Type.Union([Type.Integer({ minimum: 1 }), Type.String({ pattern: sizePattern })], { title: 'a size such as 64KiB, 512MiB, 1GiB or a number of bytes', description, default: fallback })
}

export function duration (description: string, fallback?: string) {
  return Type.String({ pattern: durationPattern, title: 'a duration such as 500ms, 30s, 10m, 1h or 400d', description, ...(fallback === undefined ? {} : { default: fallback }) })
}

export function registryAddress (description: string) {
  return Type.String({ pattern: '^https?://', title: 'an https:// address', description })
}
