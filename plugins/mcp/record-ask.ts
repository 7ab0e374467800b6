import type { Question } from '../../src/bridge/question.ts'
import type { Call } from '../../src/call.ts'
import type { Params } from '../../src/protocol/message.ts'
import type { Gate } from './gate.ts'

/**
 * Writes down what an upstream asked in the middle of a call. No record, no question.
 * @param refusal why it was not put to the client; null when it was
 */
export function recordAsk ({ ledger, guards, config }: Pick<Gate, 'ledger' | 'guards' | 'config'>, call: Call, question: Question, refusal: string | null): void {
  const kept = guards.recordArguments(question.params)
  ledger.append({
    ...commonOf(call),
    kind: 'ask',
    record: ledger.newRecord(),
    method: question.method,
    args: kept.text,
    digest: kept.digest,
    decision: refusal === null ? 'allow' : 'deny',
    outcome: refusal === null ? 'ok' : 'refused',
    detail: { call: call.record, ...(refusal === null ? {} : { refusal }) },
    policy: config.version,
  })
}

/** Writes down what a client answered, before the upstream reads it. */
export function recordAnswer ({ ledger, guards, config }: Pick<Gate, 'ledger' | 'guards' | 'config'>, call: Call, about: Call, response: Params, rule: string | undefined): void {
  const kept = guards.recordArguments(response)
  ledger.append({
    ...commonOf(about),
    kind: 'answer',
    record: call.record,
    source: call.arrival.source,
    token: call.principal.tokenId,
    args: kept.text,
    digest: kept.digest,
    decision: rule === undefined ? 'allow' : 'deny',
    rule,
    outcome: rule === undefined ? 'ok' : 'refused',
    bytesIn: call.arrival.bytesIn,
    detail: { call: about.record },
    policy: config.version,
  })
}

function commonOf (call: Call) {
  const { principal, arrival, session, target } = call
  return { principal: { id: principal.id, name: principal.name }, token: principal.tokenId, session: session?.label, source: arrival.source, era: call.version, upstream: target?.upstream, target: target?.name }
}
