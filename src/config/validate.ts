import { Ajv } from 'ajv'
import type { ErrorObject } from 'ajv'

import { didYouMean, nearest } from './nearest.ts'
import { configSchema } from './schema.ts'
import type { RawConfig } from './schema.ts'
import { unavailableKey } from './unavailable.ts'
import { adviceForKey, adviceForValue } from './advice.ts'
import type { Path } from './problems.ts'
import type { Report } from './report.ts'

const matches = new Ajv({ allErrors: true, verbose: true }).compile(configSchema)

/**
 * Checks the shape of the file and reports every deviation. What deviates is cut out of the value that is returned, so
 * that the rest has the shape the type promises (only required keys may be missing) and can be checked further; a
 * list keeps its length, with holes. undefined when nothing is left.
 */
export function validate (value: unknown, report: Report): RawConfig | undefined {
  if (value === null || value === undefined) {
    report.problem([], 'is empty: it needs at least "upstreams", for example\n  upstreams:\n    everything: { command: npx -y @modelcontextprotocol/server-everything stdio }')
    return undefined
  }
  const ok = matches(value)
  const errors = ok ? [] : settleUnions(matches.errors ?? [])
  const rest = structuredClone(value)
  for (const error of errors) {
    if (error.keyword === 'required' && errors.some((other) => explainsAbsence(other, error))) continue
    tell(error, report)
    cutOut(rest, pathOf(error), error)
  }
  return typeof rest === 'object' && !Array.isArray(rest) ? rest as RawConfig : undefined
}

type Container = Record<string | number, unknown>

function cutOut (value: unknown, path: Path, error: ErrorObject): void {
  const whole = error.keyword === 'additionalProperties' ? [...path, String(error.params['additionalProperty'])] : path
  if (error.keyword === 'required' && typeof path.at(-1) !== 'number') return
  const parent = whole.slice(0, -1).reduce<unknown>((at, step) => (at as Container | undefined)?.[step], value)
  const last = whole.at(-1)
  if (typeof parent !== 'object' || parent === null || last === undefined) return
  if (Array.isArray(parent)) parent[Number(last)] = undefined
  else Reflect.deleteProperty(parent, last)
}

function tell (error: ErrorObject, report: Report): void {
  const path = pathOf(error)
  if (error.keyword === 'additionalProperties') {
    const key = String(error.params['additionalProperty'])
    report.problem([...path, key], keyMessage(error, path) ?? unknownKey(key, error), 'stray')
  } else if (error.keyword === 'required') {
    report.problem(path, `needs the key "${String(error.params['missingProperty'])}"`, 'key')
  } else {
    report.problem(path, adviceForValue(path, error.data) ?? expectation(error))
  }
}

/** A key is not missing for its own sake where it is only mistyped, or where something stands that is refused as a whole. */
function explainsAbsence (other: ErrorObject, absence: ErrorObject): boolean {
  if (other.keyword !== 'additionalProperties' || other.instancePath !== absence.instancePath) return false
  const missing = String(absence.params['missingProperty'])
  return keyMessage(other, pathOf(other)) !== undefined || nearest(String(other.params['additionalProperty']), [missing]) === missing
}

/** A sentence made for this very key, when there is one. */
function keyMessage (error: ErrorObject, path: Path): string | undefined {
  const key = String(error.params['additionalProperty'])
  return unavailableKey([...path, key]) ?? adviceForKey([...path, key])
}

function unknownKey (key: string, error: ErrorObject): string {
  const named = error.parentSchema?.['propertyNames'] as { title: string } | undefined
  if (named !== undefined) return badName(key, named.title, Object.keys(error.data as object))
  const known = Object.keys(error.parentSchema?.['properties'] as object)
  const near = nearest(key, known)
  return `unknown key "${key}"${near === undefined ? `; known are ${known.join(', ')}` : ` – did you mean "${near}"?`}`
}

function badName (key: string, expected: string, others: readonly string[]): string {
  const twin = others.find((other) => other !== key && other.toLowerCase() === key.toLowerCase())
  return `"${key}" is not ${expected}${twin === undefined ? '' : `, and differs from "${twin}" only in case`}`
}

function expectation (error: ErrorObject): string {
  const schema = error.parentSchema ?? {}
  if (error.keyword === 'uniqueItems') return 'names the same thing twice'
  if (error.keyword === 'minProperties') return 'is empty: it needs at least one entry'
  if (error.data === null) return `is empty: give it a value, or remove the key (it must be ${expected(schema)})`
  const guess = typeof error.data === 'string' ? didYouMean(error.data, vocabulary(schema)) : ''
  const quote = isFreeText(schema) && ['number', 'boolean'].includes(typeof error.data) ? ': put it in quotes' : ''
  return `must be ${expected(schema)}, got ${shown(error.data, schema)}${guess}${quote}`
}

type Schema = Readonly<Record<string, unknown>>

function expected (schema: Schema): string {
  return String(schema['title'] ?? 'something else')
}

/** The words a schema accepts, also as one branch of a union. */
function vocabulary (schema: Schema): string[] {
  const branches = (schema['anyOf'] ?? []) as Schema[]
  const words = 'const' in schema ? [schema['const']] : (schema['enum'] ?? []) as unknown[]
  return [...words.map(String), ...branches.flatMap(vocabulary)]
}

function isFreeText (schema: Schema): boolean {
  return schema['type'] === 'string' && !('pattern' in schema) && !('const' in schema)
}

/** Names the value; not where free text is expected, because a token that looks like a number is a secret too. */
function shown (data: unknown, schema: Schema): string {
  if (data === '') return 'nothing'
  if (Array.isArray(data)) return data.length === 0 ? 'an empty list' : 'a list'
  if (typeof data === 'object') return 'a mapping'
  if (isFreeText(schema)) return typeof data === 'number' ? 'a number' : 'true or false'
  return typeof data === 'string' ? JSON.stringify(data.slice(0, 60)) : String(data)
}

/**
 * A union fails with the errors of all its branches. Keep those of the one branch that fits the kind of value given,
 * when there is one and it is a list or a mapping; otherwise only what the union as a whole expected.
 */
function settleUnions (errors: readonly ErrorObject[]): ErrorObject[] {
  let left = [...errors]
  const unions = errors.filter((error) => error.keyword === 'anyOf').sort((a, b) => a.schemaPath.length - b.schemaPath.length)
  for (const union of unions) {
    if (!left.includes(union)) continue
    const below = left.filter((error) => error.schemaPath.startsWith(`${union.schemaPath}/`) && `${error.instancePath}/`.startsWith(`${union.instancePath}/`))
    const kept = fittingBranch(union, below)
    left = left.filter((error) => kept === undefined ? !below.includes(error) : error !== union && (!below.includes(error) || kept.includes(error)))
  }
  return left
}

function fittingBranch (union: ErrorObject, below: readonly ErrorObject[]): readonly ErrorObject[] | undefined {
  if (typeof union.data !== 'object' || union.data === null) return undefined
  const branchOf = (error: ErrorObject) => error.schemaPath.slice(union.schemaPath.length + 1).split('/')[0]
  const branches = [...new Set(below.map(branchOf))].map((branch) => below.filter((error) => branchOf(error) === branch))
  const fitting = branches.filter((branch) => !branch.some((error) => error.keyword === 'type' && error.instancePath === union.instancePath))
  return fitting.length === 1 ? fitting[0] : undefined
}

/** JSON pointer → path, with the indexes of lists as numbers. */
function pathOf (error: ErrorObject): Path {
  const steps = error.instancePath.split('/').slice(1).map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  return steps.map((step) => /^(0|[1-9][0-9]*)$/.test(step) ? Number(step) : step)
}
