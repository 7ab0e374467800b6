import { isObject } from './message.ts'
import type { Params } from './message.ts'

/** What a client has to be able to do for something an upstream asks; the order is the one sealed into session ids. */
const needs = ['elicitation.form', 'elicitation.url', 'sampling', 'sampling.tools', 'roots'] as const
export type Need = typeof needs[number]

/** The kinds of questions, as the configuration names them. */
export type AskKind = 'elicitation' | 'sampling' | 'roots'

/** What a question takes; undefined when it is none. */
export function needOf (method: string, params: Params): Need | undefined {
  switch (method) {
    case 'elicitation/create': return params['mode'] === 'url' ? 'elicitation.url' : 'elicitation.form'
    case 'sampling/createMessage': return params['tools'] === undefined && params['toolChoice'] === undefined ? 'sampling' : 'sampling.tools'
    case 'roots/list': return 'roots'
    default: return undefined
  }
}

export function kindOf (need: Need): AskKind {
  return need.split('.')[0] as AskKind
}

/**
 * What a client's capabilities let it be asked. `elicitation: {}` means forms, as it did before there was another mode.
 * @param version the revision it speaks: what a later one brought cannot be asked in it
 */
export function abilitiesOf (capabilities: Params, version: string): ReadonlySet<Need> {
  const { elicitation, sampling, roots } = capabilities
  const able = new Set<Need>()
  if (isObject(elicitation) && version >= '2025-06-18') {
    if (elicitation['form'] !== undefined || elicitation['url'] === undefined) able.add('elicitation.form')
    if (elicitation['url'] !== undefined && version >= '2025-11-25') able.add('elicitation.url')
  }
  if (isObject(sampling)) {
    able.add('sampling')
    if (sampling['tools'] !== undefined && version >= '2025-11-25') able.add('sampling.tools')
  }
  if (isObject(roots)) able.add('roots')
  return able
}

/** ClientCapabilities that say exactly this. */
export function capabilitiesFor (able: Iterable<Need>): Record<string, Record<string, object>> {
  const capabilities: Record<string, Record<string, object>> = {}
  for (const need of able) {
    const [capability = '', mode] = need.split('.')
    capabilities[capability] = { ...capabilities[capability], ...(mode === undefined ? {} : { [mode]: {} }) }
  }
  return capabilities
}

/** What the gateway tells an upstream that it can ask: all of the kinds that are permitted. */
export function offered (kinds: readonly AskKind[]): Record<string, Record<string, object>> {
  return capabilitiesFor(needs.filter((need) => kinds.includes(kindOf(need))))
}

/** A set of abilities as a short text, for what is sealed. */
export function packAbilities (able: ReadonlySet<Need>): string {
  return needs.map((need, at) => able.has(need) ? at : '').join('')
}

export function unpackAbilities (packed: string): ReadonlySet<Need> {
  return new Set(needs.filter((_need, at) => packed.includes(String(at))))
}
