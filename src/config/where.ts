import { Environment } from '@marcbachmann/cel-js'

import { didYouMean } from './nearest.ts'

/** What is wrong with a condition, how many characters in. */
export interface WhereProblem { readonly message: string, readonly offset: number }

const names = ['args', 'principal', 'tool', 'upstream']

/** The vocabulary of a condition; the arguments of a call can be anything. */
const vocabulary = new Environment({ unlistedVariablesAreDyn: false, limits: { maxAstNodes: 1000, maxDepth: 50 } })
  .registerVariable('args', 'dyn')
  .registerVariable('principal', { schema: { id: 'string', name: 'string', roles: 'list<string>' } })
  .registerVariable('tool', 'string')
  .registerVariable('upstream', 'string')

/** Checks syntax, variables and types of a CEL condition; it must come out as true or false. */
export function whereProblem (text: string): WhereProblem | undefined {
  if (text.trim() === '') return { message: 'is empty: leave "where" out, or write a condition', offset: 0 }
  try {
    const { valid, type, error } = vocabulary.check(text)
    if (!valid) return explain(error, text)
    return ['bool', 'dyn'].includes(String(type)) ? undefined : { message: `must come out as true or false, but it is of type ${String(type)}`, offset: 0 }
  } catch (error) {
    return explain(error, text)
  }
}

function explain (error: unknown, text: string): WhereProblem {
  const { summary, range } = error as { summary?: string, range?: { start: number } }
  const said = summary ?? (error instanceof Error ? error.message : String(error))
  const unknown = /^Unknown variable: (.*)$/.exec(said)?.[1]
  const offset = range?.start ?? 0
  if (unknown !== undefined) return { message: `unknown variable "${unknown}"${didYouMean(unknown, names)}; there are ${names.join(', ')}`, offset }
  const where = offset >= text.length ? 'at its end' : `at ${JSON.stringify(text.slice(offset, offset + 20))}`
  return { message: `is not a valid CEL expression ${where}: ${said.slice(0, 1).toLowerCase()}${said.slice(1)}`, offset }
}
