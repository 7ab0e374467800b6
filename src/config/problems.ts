import { relative } from 'node:path'

/** Where a value stands in the configuration: keys and list indexes from the top. */
export type Path = readonly (string | number)[]

/** One mistake. `line` and `column` count from 1; both are 0 when the mistake is not in a file (an environment variable, a missing file). */
export interface Problem {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly path: string
  readonly message: string
}

/** Every mistake found in one reading of the configuration. The message lists them all, one a line. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[]

  constructor (problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** `upstreams.yaml:6:5 upstreams.github: unknown key "timeot"` */
export function formatProblem (problem: Problem): string {
  const position = problem.line === 0 ? '' : `:${problem.line}:${problem.column}`
  const path = problem.path === '' ? '' : ` ${problem.path}`
  return `${displayName(problem.file)}${position}${path}${path === '' ? ' ' : ': '}${problem.message}`
}

/** `upstreams.github.args[1]`; keys that are not plain words stand in quotes. */
export function formatPath (path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`
    const key = /^[\w-]+$/.test(step) ? step : JSON.stringify(step)
    return text === '' ? key : `${text}.${key}`
  }, '')
}

/** The path as a person in this directory would type it. */
function displayName (file: string): string {
  if (!file.startsWith('/')) return file
  const short = relative(process.cwd(), file)
  return short === '' || short.startsWith('..') ? file : short
}
