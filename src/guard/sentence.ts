import type { ErrorObject } from 'ajv/dist/2020.js'

import { nearest } from '../config/nearest.ts'
import { isObject } from './schema.ts'

/**
 * What Ajv found, as one sentence a model can act on. It names places, expectations and types, and never repeats a value
 * that was given: the sentence ends up in logs, and arguments hold secrets.
 */

const maxProblems = 3
const maxListed = 10
const maxNameLength = 60

interface Problem { readonly at: string, readonly text: string }

export function describeErrors (errors: readonly ErrorObject[], args: unknown): string {
  const problems = unique(settleBranches(errors).flatMap((error) => describe(error, args)))
  const shown = problems.slice(0, maxProblems).map(({ at, text }) => `${at === '' ? 'the arguments' : at} ${text}`)
  const more = problems.length > maxProblems ? `; and ${problems.length - maxProblems} more` : ''
  const sentence = `Invalid arguments: ${shown.join('; ') || 'they do not match the schema of the tool'}${more}`
  return sentence.endsWith('?') ? sentence : `${sentence}.`
}

export function typeName (value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return { object: 'an object', string: 'a string', number: 'a number', boolean: 'a boolean' }[typeof value as string] ?? typeof value
}

/** Keywords that only repeat what the errors below them say. */
const wrappers = new Set(['if', 'propertyNames'])

/**
 * Of the branches of an anyOf or oneOf that all failed, Ajv reports every error. The deepest ones come from the branch that
 * fitted longest; if none got deeper than the choice itself, the alternatives are told together.
 */
function settleBranches (errors: readonly ErrorObject[]): ErrorObject[] {
  const settled: ErrorObject[] = []
  for (const error of errors) {
    const isChoice = (error.keyword === 'anyOf' || error.keyword === 'oneOf') && error.params.passingSchemas == null
    if (isChoice) settled.push(...closest(takeBelow(settled, error), error))
    else settled.push(error)
  }
  return settled.length > 1 ? settled.filter(({ keyword }) => !wrappers.has(keyword)) : settled
}

function takeBelow (settled: ErrorObject[], choice: ErrorObject): ErrorObject[] {
  let from = settled.length
  while (from > 0 && isBelow(settled[from - 1]?.instancePath ?? '', choice.instancePath)) from--
  return settled.splice(from)
}

function isBelow (path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}/`)
}

function closest (branches: readonly ErrorObject[], choice: ErrorObject): ErrorObject[] {
  const deepest = Math.max(...branches.map(depth))
  if (branches.length === 0) return [choice]
  if (deepest > depth(choice)) return branches.filter((error) => depth(error) > depth(choice))
  const types = branches.flatMap((error) => (error.keyword === 'type' ? [error.params.type].flat() : []))
  const values = branches.flatMap((error) => (error.keyword === 'enum' ? error.params.allowedValues : error.keyword === 'const' ? [error.params.allowedValue] : []))
  const others = branches.filter(({ keyword }) => !['type', 'enum', 'const'].includes(keyword))
  if (others.length > 0) return types.length > 0 && values.length === 0 && isObject(choice.data) ? others : [...others, choice]
  return values.length > 0
    ? [{ ...choice, keyword: 'enum', params: { allowedValues: values, orTypes: types } }]
    : [{ ...choice, keyword: 'type', params: { type: types } }]
}

/** How deep in the arguments: a missing property counts as its own place. */
function depth (error: ErrorObject): number {
  return error.instancePath.split('/').length
}

type Describe = (error: ErrorObject, args: unknown) => string | Problem

const describers: Readonly<Record<string, Describe>> = {
  type: ({ params, data }) => `must be ${oneOf([params.type].flat().map(article))}, ${given(data)}`,
  enum: ({ params, data }) => `must be one of ${listed(params.allowedValues)}${params.orTypes?.length > 0 ? ` or ${oneOf(params.orTypes.map(article))}` : ''}, ${given(data, params.allowedValues)}`,
  const: ({ params, data }) => `must be ${literal(params.allowedValue)}, ${given(data, [params.allowedValue])}`,
  required: missingProperty,
  additionalProperties: (error) => unknownProperty(error, error.params.additionalProperty),
  unevaluatedProperties: (error) => unknownProperty(error, error.params.unevaluatedProperty),
  pattern: ({ params }) => `must match the pattern ${short(params.pattern)}`,
  format: ({ params }) => `must be a valid ${params.format}`,
  anyOf: () => 'matches none of the alternatives the schema allows',
  oneOf: ({ params }) => params.passingSchemas == null ? 'matches none of the alternatives the schema allows' : 'matches more than one alternative, and must match exactly one',
  not: () => 'has a form the schema forbids',
  'false schema': () => 'is not allowed here',
}

function describe (error: ErrorObject, args: unknown): Problem {
  const described = describers[error.keyword]?.(error, args) ?? `${error.message ?? 'is not valid'}`
  return typeof described === 'string' ? { at: shortPath(error.instancePath), text: described } : described
}

function missingProperty (error: ErrorObject): Problem {
  const name = String(error.params.missingProperty)
  const sent = isObject(error.data) ? Object.keys(error.data) : []
  const expected = properties(error)
  const near = nearName(name, sent.filter((key) => !Object.hasOwn(expected, key)))
  const type = expected[name]
  const wanted = isObject(type) && typeof type.type === 'string' ? ` (${article(type.type)} is required)` : ''
  return { at: shortPath(`${error.instancePath}/${name}`), text: `is missing${wanted}${near === undefined ? '' : `, did you mean it by ${JSON.stringify(near)}?`}` }
}

function unknownProperty (error: ErrorObject, name: string): Problem {
  const known = Object.keys(properties(error))
  const near = nearName(name, known)
  const hint = near !== undefined ? `, did you mean ${JSON.stringify(near)}?` : known.length > 0 ? ` (known: ${known.slice(0, maxListed).join(', ')}${known.length > maxListed ? ', …' : ''})` : ''
  return { at: shortPath(`${error.instancePath}/${name}`), text: `is not a known property${hint}` }
}

function properties (error: ErrorObject): Record<string, unknown> {
  const schema: unknown = error.parentSchema
  return isObject(schema) && isObject(schema.properties) ? schema.properties : {}
}

/** Comparing names takes the product of their lengths, and these are the caller's. */
function nearName (name: string, candidates: readonly string[]): string | undefined {
  if (name.length > maxNameLength) return undefined
  return nearest(name, candidates.filter(({ length }) => length <= maxNameLength).slice(0, 100))
}

function given (data: unknown, allowed: readonly unknown[] = []): string {
  return `${allowed.some((value) => typeName(value) === typeName(data)) ? typeName(data).replace(/^an? /, 'another ') : typeName(data)} was given`
}

function article (type: string): string {
  if (type === 'null') return 'null'
  return `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`
}

function oneOf (words: readonly string[]): string {
  return [...new Set(words)].join(' or ')
}

function listed (values: readonly unknown[]): string {
  const more = values.length > maxListed ? ` and ${values.length - maxListed} more` : ''
  return [...new Set(values.slice(0, maxListed).map(literal))].join(', ') + more
}

function literal (value: unknown): string {
  return short(JSON.stringify(value))
}

function short (text: string): string {
  return text.length > maxNameLength ? `${text.slice(0, maxNameLength)}…` : text
}

/** Property names are the caller's: shortened, and quoted when they hold more than ordinary characters. */
function shortPath (path: string): string {
  const cut = path.length > 200 ? `${path.slice(0, 200)}…` : path
  return /^[\w/~.$@-]*$/.test(cut) ? cut : JSON.stringify(cut)
}

function unique (problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [`${problem.at} ${problem.text}`, problem])).values()]
}
