import type { Principal, Target } from '../call.ts'
import type { LimitSpec } from '../config/config.ts'
import { compilePattern, matchesTarget } from '../policy/pattern.ts'

/** What limits know about a call. */
export interface CallFacts {
  readonly principal: Pick<Principal, 'id' | 'roles'>
  readonly kind: Target['kind']
  /** `?` as upstream and tool when the name cannot be called: made-up names share one counter. */
  readonly upstream: string
  /** Bare name. */
  readonly tool: string
  /** Of the peer; an IPv6 network counts as one. */
  readonly address: string
}

type Named = Pick<CallFacts, 'kind' | 'upstream' | 'tool'>

/** What the log knows about a call it kept. */
export type Known = Named & { readonly principal: { readonly id: string, readonly roles?: readonly string[] | undefined }, readonly address?: string | undefined }

export interface Limit {
  readonly spec: LimitSpec
  applies (target: Named): boolean
  /** Calls with the same key are counted together. Undefined when a fact the limit counts by is not known. */
  key (facts: Known): string | undefined
  /** What is limited, for a person: `files/read_file`, or an empty text. */
  subject (target: Named): string
}

/** Throws an Error when the limit's pattern is none. */
export function compileLimit (spec: LimitSpec): Limit {
  const pattern = spec.tool === undefined ? undefined : compilePattern(spec.tool)
  const keyParts = order.filter((by) => spec.by.includes(by)).map((by) => parts[by])
  return {
    spec,
    // The pattern of a limit names tools; without one it counts prompts and resources, too.
    applies: ({ kind, upstream, tool }) => pattern === undefined || (kind === 'tool' && matchesTarget(pattern, upstream, tool)),
    key: (facts) => keyOf(spec.name, keyParts, facts),
    subject: (target) => subjectOf(spec, target),
  }
}

type By = LimitSpec['by'][number]

const order: readonly By[] = ['user', 'role', 'address', 'upstream', 'tool']

const parts: Readonly<Record<By, (facts: Known) => string | undefined>> = {
  user: ({ principal }) => principal.id,
  role: ({ principal }) => principal.roles?.toSorted().join(),
  address: ({ address }) => address,
  upstream: ({ upstream }) => upstream,
  tool: toolPart,
}

/** There are as many resources as there are texts, so those of one upstream are counted together. */
function toolPart ({ kind, upstream, tool }: Known): string {
  // Names of prompts and resources are not known in advance: one count an upstream, so that inventing them gains nothing.
  return kind === 'tool' ? `${upstream}/${tool}` : `${upstream} ${kind}s`
}

/** Named by the limit itself, so that replicas and restarts agree, and a changed limit begins anew. */
function keyOf (name: string, keyParts: readonly ((facts: Known) => string | undefined)[], facts: Known): string | undefined {
  let key = name
  for (const read of keyParts) {
    const part = read(facts)
    if (part === undefined) return undefined
    key += `\n${part}`
  }
  return key
}

function subjectOf (spec: LimitSpec, { kind, upstream, tool }: Named): string {
  if (spec.by.includes('tool')) {
    if (tool === '?') return 'names that cannot be called'
    return kind === 'tool' ? `${upstream}/${tool}` : `${kind}s of ${upstream}`
  }
  if (spec.tool !== undefined) return spec.tool
  return spec.by.includes('upstream') && upstream !== '?' ? upstream : ''
}
