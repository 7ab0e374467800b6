import type { Call } from '../call.ts'
import { meta } from '../protocol/era.ts'
import type { Era, LogLevel } from '../protocol/era.ts'
import { isObject } from '../protocol/message.ts'
import type { Params } from '../protocol/message.ts'
import { retry } from '../protocol/methods.ts'
import { ownEnvelope } from '../upstreams/envelope.ts'
import { argumentsText } from './arguments-text.ts'
import { taskRequest } from './tasks.ts'

/** Envelope members: never relayed to a legacy upstream, never taken from a legacy client. */
export const reserved: ReadonlySet<string> = new Set<string>([meta.protocolVersion, meta.clientInfo, meta.clientCapabilities, meta.logLevel])

/**
 * The JSON text of params as the upstream gets them: the names it knows (`changes`), the gateway's progress token in
 * place of the caller's, the envelope its era wants, the other members of its method as the caller sent them.
 * @param capabilities what a 2026-07-28 upstream is told that the client can do; undefined = what the client says itself
 * @param id the request id the gateway minted; also the progress token
 */
export function paramsFor (call: Call, era: Era, id: number, changes: Readonly<Record<string, unknown>>, capabilities: Params | undefined): string {
  const given = call.params['_meta']
  const envelope = metaFor(isObject(given) ? given : undefined, call.era, era, id, capabilities, call.session?.logLevel)
  let text = ''
  for (const member of call.spec?.members ?? []) text += memberText(member, textOf(call, era, member, changes))
  text += memberText('_meta', JSON.stringify(envelope))
  return `{${text.slice(1)}}`
}

/** Put together from texts: the arguments are by far the largest part, and their text was made for the record. */
function textOf (call: Call, era: Era, member: string, changes: Readonly<Record<string, unknown>>): string | undefined {
  if (member in changes) return JSON.stringify(changes[member])
  if (call.era === 'legacy' && retry.includes(member)) return undefined // there, answers come by another way
  if (member === 'task') return JSON.stringify(taskRequest(call, era))
  return member === 'arguments' ? argumentsText(call) : JSON.stringify(call.params[member])
}

function memberText (member: string, text: string | undefined): string {
  return text === undefined ? '' : `,"${member}":${text}`
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
