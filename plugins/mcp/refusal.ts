import type { Call, LimitState } from '../../src/call.ts'
import type { Refusal } from '../../src/errors.ts'
import { recordKey } from '../../src/protocol/era.ts'
import type { RequestId } from '../../src/protocol/message.ts'
import { failure, success } from '../../src/protocol/reply.ts'

interface Reply { readonly status: number, readonly body: string, readonly headers: Readonly<Record<string, string>> }

/**
 * How a refusal of one message looks on the wire: what a model can mend is a tool result with `isError`, everything
 * else a JSON-RPC error; HTTP says more than 200 only where the client's era asks for it.
 */
export function refusalReply (call: Call, refusal: Refusal, publicUrl: string): Reply {
  const data = refusalData(refusal, call.record, publicUrl)
  const headers = { ...limitHeaders(call.limit), ...refusal.headers }
  if (refusal.shape === 'result' && call.method === 'tools/call' && call.id !== undefined) {
    return { status: 200, body: success(call.id, toolResult(call, refusal.message, data)), headers }
  }
  return { status: statusOf(call, refusal), body: failure(call.id, refusal.rpc, refusal.message, data), headers }
}

/** A refusal of a whole HTTP request, before there was a message. */
export function requestRefusal (refusal: Refusal, id: RequestId | undefined, record: string, publicUrl: string): Reply {
  return { status: refusal.status, body: failure(id, refusal.rpc, refusal.message, refusalData(refusal, record, publicUrl)), headers: refusal.headers }
}

/** Headers that say where the tightest limit stands; names as IETF httpapi-ratelimit-headers drafts up to 07 have them. */
export function limitHeaders (limit: LimitState | undefined): Record<string, string> {
  if (limit === undefined) return {}
  return { 'ratelimit-limit': String(limit.limit), 'ratelimit-remaining': String(limit.remaining), 'ratelimit-reset': String(limit.resetSeconds) }
}

function refusalData (refusal: Refusal, record: string, publicUrl: string): Record<string, unknown> {
  return { code: refusal.code, record, ...refusal.data, docs: `${publicUrl}/errors/${refusal.code}` }
}

function toolResult (call: Call, message: string, data: Record<string, unknown>): string {
  return JSON.stringify({
    content: [{ type: 'text', text: message }],
    isError: true,
    _meta: { [recordKey]: call.record, 'portcullis/refusal': data },
    ...(call.era === 'modern' ? { resultType: 'complete' } : {}),
  })
}

/** Legacy JSON-RPC errors ride on 200; 2026-07-28 wants 404 for an unknown method and 5xx for an outage. */
function statusOf (call: Call, refusal: Refusal): number {
  if (refusal.shape === 'http' || call.era === 'modern') return refusal.status
  return 200
}
