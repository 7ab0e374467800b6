import type { Answered, Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { RefusalCode } from '../../src/errors.ts'
import type { Entry } from '../../src/ledger/entry.ts'
import { recordKey } from '../../src/protocol/era.ts'
import { isObject } from '../../src/protocol/message.ts'
import { failure, success } from '../../src/protocol/reply.ts'
import type { Json } from '../../src/protocol/spliced.ts'
import { refusalReply, limitHeaders } from './refusal.ts'
import type { Gate } from './gate.ts'
import { entryOf } from './record.ts'

type Outcome = NonNullable<Entry['outcome']>

/** Ends a call that was answered: outcome record first, then the reply. */
export function settle (gate: Gate, call: Call, answered: Answered): void {
  const { id } = call
  if (answered.kind === 'nothing' || id === undefined) return end(gate, call, 'ok', undefined, 202, undefined, {})
  if (answered.kind === 'result') call.capture?.result(String(answered.text))
  if (answered.kind === 'result') return end(gate, call, answered.toolError ? 'tool_error' : 'ok', undefined, 200, success(id, answered.text), answered.headers === undefined ? limitHeaders(call.limit) : { ...limitHeaders(call.limit), ...answered.headers })
  const status = call.era === 'modern' ? modernStatus[answered.code] ?? 200 : 200
  end(gate, call, 'error', String(answered.code), status, failure(id, answered.code, answered.message, withRecord(answered.data, call.record)), limitHeaders(call.limit))
}

/** An upstream's errors that a 2026-07-28 client expects to find in the HTTP status too (specification, basic/transports). */
const modernStatus: Readonly<Record<number, number>> = { '-32601': 404, '-32020': 400, '-32021': 400, '-32022': 400, 503: 503 }

/** Ends a call that a step refused, or that failed on the way. Anything that is not a Refusal is our own fault. */
export function refuse (gate: Gate, call: Call, error: unknown): void {
  const refusal = error instanceof Refusal ? error : new Refusal('PORTCULLIS_INTERNAL', { cause: error })
  if (refusal.code === 'PORTCULLIS_INTERNAL') gate.log.error({ record: call.record, err: error }, 'internal error')
  else if (refusal.cause !== undefined) gate.log.warn({ record: call.record, code: refusal.code, err: refusal.cause }, 'call refused')
  gate.metrics.refusal(refusal.code)
  const { status, body, headers } = refusalReply(call, refusal, gate.config.server.publicUrl)
  end(gate, call, outcomes[refusal.code] ?? 'refused', refusal, status, body, headers)
}

/** Refusals that came after the upstream was asked are outcomes of their own. */
const outcomes: Partial<Record<RefusalCode, Outcome>> = {
  PORTCULLIS_TIMEOUT: 'timeout',
  PORTCULLIS_CANCELLED: 'cancelled',
  PORTCULLIS_UPSTREAM_FAILED: 'crashed',
  PORTCULLIS_RESULT_TOO_LARGE: 'error',
}

function end (gate: Gate, call: Call, outcome: Outcome, why: Refusal | string | undefined, status: number, body: Json | undefined, headers: Readonly<Record<string, string>>): void {
  if (call.settled) return
  call.settled = true
  call.session?.remove(call)
  const durationMs = performance.now() - call.startedAt
  if (call.spec?.target !== undefined) count(gate, call, outcome, durationMs)
  const entry = entryFor(gate, call, outcome, why, durationMs, body?.length ?? 0)
  const reply = (): void => call.reply.finish(status, body, headers)
  if (entry === undefined) return reply()
  try {
    gate.ledger.append(entry, { force: call.intended })
    gate.ledger.written(reply)
  } catch (error) {
    gate.log.error({ record: call.record, outcome, err: error }, 'a refusal could not be recorded')
    reply()
  }
}

/** An upstream's error leads to its record as everything else does; data that is no object is left as it is. */
function withRecord (data: unknown, record: string): unknown {
  if (data === undefined) return { [recordKey]: record }
  return isObject(data) ? { ...data, [recordKey]: record } : data
}

const counted: Readonly<Record<Outcome, Parameters<Gate['metrics']['callEnded']>[2]>> = {
  ok: 'ok', tool_error: 'error', error: 'error', refused: 'refused', timeout: 'timeout', cancelled: 'cancelled', crashed: 'failed', unknown: 'failed',
}

/** Only names that can be called become labels: invented ones must not grow the registry, also while their upstream is down. */
function count (gate: Gate, call: Call, outcome: Outcome, durationMs: number): void {
  const { target, decision } = call
  const known = target !== undefined && decision?.allowed === true && gate.catalog.isListed(call, target)
  const tool = target?.kind === 'tool' ? target.name : `_${target?.kind}`
  gate.metrics.callEnded(known ? target.upstream : undefined, known ? tool : undefined, counted[outcome], durationMs / 1000, call.intended ? call.upstreamMs / 1000 : undefined)
}

/** A call with an intent gets its outcome; one that was refused before gets a single record that says everything; one that went on without a record was counted. */
function entryFor (gate: Gate, call: Call, outcome: Outcome, why: Refusal | string | undefined, durationMs: number, bytesOut: number): Entry | undefined {
  const code = why instanceof Refusal ? why.code : why
  if (call.intended) return { kind: 'outcome', record: call.record, outcome, code, durationMs, bytesOut, digest: call.capture?.outcome?.digest, sealed: call.capture?.outcome?.sealed }
  if (call.unrecorded || !(why instanceof Refusal)) return undefined
  return entryOf(gate, call, { kind: 'refusal', decision: 'deny', rule: why.rule, outcome, code, durationMs, bytesOut })
}
