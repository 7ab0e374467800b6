import { didYouMean } from './nearest.ts'

const maxLength = 512

export type PatternKind = 'tool' | 'prompt' | 'resource'

/**
 * What is wrong with a pattern over `upstream/name`, or undefined: it must have both halves, know only `*`, and its
 * first half must match an upstream that exists, because a rule for a mistyped one would silently protect nothing.
 */
export function patternProblem (pattern: string, kind: PatternKind | undefined, upstreams: readonly string[]): string | undefined {
  if (pattern === '') return 'is empty: write upstream/name, such as "files/read_*"'
  if (pattern.length > maxLength) return `is longer than ${maxLength} characters`
  if (/\s/.test(pattern)) return `the pattern "${pattern}" contains a space`
  const slash = pattern.indexOf('/')
  if (slash === -1) return missingSlash(pattern, upstreams)
  const upstream = pattern.slice(0, slash)
  const name = pattern.slice(slash + 1)
  if (upstream === '' || name === '') return `the pattern "${pattern}" matches nothing: write upstream/name, with * for any`
  return foreignSyntax(pattern, kind, upstream) ?? unknownUpstream(pattern, upstream, upstreams)
}

function missingSlash (pattern: string, upstreams: readonly string[]): string {
  if (/^\*+$/.test(pattern)) return `the pattern "${pattern}" matches nothing: everything is "*/*"`
  const [upstream = '', tool] = pattern.split('__')
  if (tool !== undefined) return `the pattern "${pattern}" matches nothing: rules name tools as "${upstream}/${tool}"`
  if (upstreams.includes(pattern)) return `the pattern "${pattern}" matches nothing: everything of that upstream is "${pattern}/*"`
  return `the pattern "${pattern}" matches nothing: write upstream/name, such as "${upstreams[0] ?? 'files'}/${pattern}"`
}

/** A URI may hold any of these; a name may not, so there they are an attempt at another pattern language. */
function foreignSyntax (pattern: string, kind: PatternKind | undefined, upstream: string): string | undefined {
  const searched = kind === 'resource' ? upstream : pattern
  const found = /[\\^$|()[\]{}?,!]/.exec(searched)?.[0]
  if (found === undefined) return undefined
  const uri = kind === undefined && pattern.includes('://') ? '; for a resource whose URI holds it, write "resource: …"' : ''
  return `the pattern "${pattern}" holds "${found}", but only * is a wildcard${uri}`
}

function unknownUpstream (pattern: string, upstream: string, upstreams: readonly string[]): string | undefined {
  const matcher = new RegExp(`^${upstream.split('*').map(escape).join('.*')}$`)
  if (upstreams.some((name) => matcher.test(name))) return undefined
  const known = upstreams.length === 0 ? '' : `; there ${upstreams.length === 1 ? 'is' : 'are'} ${upstreams.join(', ')}`
  return `the pattern "${pattern}" names the upstream "${upstream}", which does not exist${didYouMean(upstream, upstreams) || known}`
}

function escape (text: string): string {
  return text.replace(/[^a-z0-9-]/gi, '\\$&')
}
