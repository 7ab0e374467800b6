import type { Call } from '../call.ts'
import { meta } from '../protocol/era.ts'
import type { Era, LogLevel } from '../protocol/era.ts'
import { isObject } from '../protocol/message.ts'
import type { Params } from '../protocol/message.ts'
import { rawArguments } from '../protocol/strict-json.ts'
import { ownEnvelope } from '../upstreams/envelope.ts'

/** Envelope members: never relayed to a legacy upstream, never taken from a legacy client. */
const reserved = new Set<string>([meta.protocolVersion, meta.clientInfo, meta.clientCapabilities, meta.logLevel])

/**
 * The JSON text of params as the upstream gets them: the names it knows (`changes`), the gateway's progress token in
 * place of the caller's, the envelope its era wants, the other members of its method as the caller sent them.
 * @param capabilities what a 2026-07-28 upstream is told that the client can do; undefined = what the client says itself
 * @param id the request id the gateway minted; also the progress token
 */
export function paramsFor (call: Call, era: Era, id: number, changes: Readonly<Record<string, unknown>>, capabilities: Params | undefined): string {
  const given = call.params['_meta']
  const envelope = metaFor(isObject(given) ? given : undefined, call.era, era, id, capabilities, call.session?.logLevel)
  const params: Record<string, unknown> = {}
  for (const member of call.spec?.members ?? []) params[member] = member in changes ? changes[member] : call.params[member]
  params['_meta'] = envelope
  if (!call.exotic) return JSON.stringify(params)
  params['arguments'] = undefined
  const rest = JSON.stringify(params)
  const args = rawArguments(call.text)
  if (args === undefined) return rest
  return `${rest.slice(0, -1)}${rest === '{}' ? '' : ','}"arguments":${args}}`
}

function metaFor (given: Record<string, unknown> | undefined, from: Era, to: Era, id: number, capabilities: Params | undefined, logLevel: LogLevel | undefined): Record<string, unknown> | undefined {
  if (given === undefined && to === 'legacy') return undefined
  const kept = Object.create(null) as Record<string, unknown> // `__proto__` is a name like any other
  for (const [key, value] of Object.entries(given ?? {})) {
    if (key === 'progressToken') kept[key] = id
    else if (from === to && to === 'modern') kept[key] = value
    else if (!reserved.has(key)) kept[key] = value
  }
  if (to === 'modern' && from === 'legacy') Object.assign(kept, ownEnvelope)
  // What a session asked for once, a 2026-07-28 upstream is told with every request.
  if (to === 'modern' && logLevel !== undefined) kept[meta.logLevel] = logLevel
  if (capabilities !== undefined) kept[meta.clientCapabilities] = capabilities
  return Object.keys(kept).length === 0 ? undefined : kept
}
