import { meta, recordKey } from '../protocol/era.ts'
import type { Era } from '../protocol/era.ts'
import { isObject } from '../protocol/message.ts'
import { Spliced } from '../protocol/spliced.ts'
import type { Json } from '../protocol/spliced.ts'
import { outputForLegacy } from './output.ts'
import type { Answer } from '../upstreams/answer.ts'

type Result = Extract<Answer, { kind: 'result' }>

/**
 * The JSON text of an upstream's result as the client gets it: with the record id in `_meta`, and with the members
 * the client's era wants. `outputSchema` is the called tool's own. Where nothing has to be taken out, the upstream's own bytes are passed on.
 */
export function resultFor (answer: Result, from: Era, to: Era, record: string, method: string, outputSchema?: unknown): Json {
  const complete = from === 'modern' && to === 'modern' && answer.resultType === 'complete'
  if (answer.hasMeta || (answer.resultType !== undefined && !complete) || (from === 'modern' && (to === 'legacy' || method === 'resources/read'))) return rewrite(String(answer.text), from, to, record, method, outputSchema)
  const added = `"_meta":{"${recordKey}":"${record}"}${to === 'modern' && !complete ? modernMembers(method) : ''}`
  if (answer.text instanceof Spliced) return new Spliced(`{${added},`, answer.text.bytes.subarray(1), '')
  return answer.text.length <= 2 || isEmpty(answer.text) ? `{${added}}` : `{${added},${answer.text.slice(answer.text.indexOf('{') + 1)}`
}

/** The same for a result that the gateway holds as an object, such as a merged list. */
export function ownResult (result: Readonly<Record<string, unknown>>, to: Era, record: string): string {
  const given = isObject(result['_meta']) ? result['_meta'] : {}
  return JSON.stringify({ ...result, _meta: { ...given, [recordKey]: record }, ...(to === 'modern' ? { resultType: 'complete' } : {}) })
}

/** What a 2026-07-28 result has and a legacy one lacks; reading a resource also says how long it may be kept. */
function modernMembers (method: string): string {
  return method === 'resources/read' ? ',"resultType":"complete","ttlMs":0,"cacheScope":"private"' : ',"resultType":"complete"'
}

function rewrite (text: string, from: Era, to: Era, record: string, method: string, outputSchema: unknown): string {
  const result = JSON.parse(text) as Record<string, unknown>
  const given = isObject(result['_meta']) ? result['_meta'] : {}
  if (from === 'modern' && to === 'legacy') {
    delete result['resultType']
    delete result['ttlMs']
    delete result['cacheScope']
    delete given[meta.serverInfo]
    if (method === 'tools/call') Object.assign(result, outputForLegacy(result, outputSchema))
  }
  const members = to === 'modern' ? JSON.parse(`{${modernMembers(method).slice(1)}}`) as object : {}
  // What a legacy server says about a later revision is not its to say; and what was answered to one user is private.
  const said = from === 'legacy' ? { ...result, ...members } : { ...members, ...result }
  const caching = from === 'modern' && to === 'modern' && method === 'resources/read' ? { cacheScope: 'private' } : {}
  return JSON.stringify({ ...said, ...caching, _meta: { ...given, [recordKey]: record } })
}

function isEmpty (text: string): boolean {
  return /^\{\s*\}$/.test(text)
}
