import { argumentsText } from '../../src/bridge/arguments-text.ts'
import type { Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Capture } from '../../src/ledger/capture.ts'
import { Speaker } from '../../src/ledger/entry.ts'
import type { Entry } from '../../src/ledger/entry.ts'
import { isObject } from '../../src/protocol/message.ts'
import { contentOf } from './content.ts'
import type { Gate, Step } from './gate.ts'
import { exempting } from './unrecorded.ts'

/** record: the intent is durable before anything is forwarded. No record, no call; what the operator exempts from that is in unrecorded.ts. */
export function record (gate: Pick<Gate, 'ledger' | 'guards' | 'config' | 'captures' | 'metrics'>): Step {
  const step = recordOrRefuse(gate)
  return gate.config.audit.onFailure.allow.length === 0 ? step : exempting(gate, step)
}

function recordOrRefuse (gate: Pick<Gate, 'ledger' | 'guards' | 'config' | 'captures'>): Step {
  return (call) => {
    if (call.spec?.unrecorded === true || call.message.kind === 'response') return
    if (call.message.kind === 'notification') return gate.ledger.append(entryOf(gate, call, { kind: 'notification', outcome: 'ok' }))
    const capture = gate.captures.begin(call.target, call.record, call.principal.id)
    if (!(capture instanceof Promise)) return intend(gate, call, capture)
    return capture.then((ready) => intend(gate, call, ready), (error: unknown) => { throw new Refusal('PORTCULLIS_LEDGER_UNAVAILABLE', { cause: error }) })
  }
}

function intend (gate: Pick<Gate, 'ledger' | 'guards' | 'config'>, call: Call, capture: Capture | undefined): Promise<void> {
  call.capture = capture
  gate.ledger.append(entryOf(gate, call, { kind: 'call', decision: 'allow' }))
  call.intended = true
  return durable(gate)
}

/** Resolves when what was appended is durable; rejects with a Refusal when it cannot be, and then nothing may go on. */
export function durable ({ ledger }: Pick<Gate, 'ledger'>): Promise<void> {
  return new Promise((resolve, reject) => {
    ledger.durable((error) => error === undefined ? resolve() : reject(new Refusal('PORTCULLIS_LEDGER_UNAVAILABLE', { cause: error })))
  })
}

export type Verdict = Pick<Entry, 'kind' | 'decision' | 'rule' | 'outcome' | 'code' | 'durationMs' | 'bytesOut'>

/** Everything known of a call at this point of the pipeline, as the ledger keeps it. */
export function entryOf ({ config, guards }: Pick<Gate, 'config' | 'guards'>, call: Call, verdict: Verdict): Entry {
  const { endpoint, bytesIn } = call.arrival
  const { target } = call
  const content = contentOf(call)
  const json = content !== undefined && content === call.params['arguments'] ? argumentsText(call) : undefined
  const kept = content === undefined ? undefined : guards.recordArguments(content, json)
  const captured = content === undefined ? undefined : call.capture?.arguments(content, json)
  return {
    kind: verdict.kind,
    record: call.record,
    speaker: speakerOf(call),
    trace: traceOf(call),
    method: call.method,
    upstream: target === undefined ? endpoint : target.upstream,
    target: target === undefined ? givenName(call) : target.name,
    args: kept?.text,
    digest: kept?.digest ?? captured?.digest,
    sealed: captured?.sealed,
    decision: verdict.decision,
    rule: verdict.rule ?? (verdict.decision === 'deny' && call.decision?.allowed === true ? undefined : call.decision?.rule),
    code: verdict.code,
    outcome: verdict.outcome,
    durationMs: verdict.durationMs,
    bytesIn,
    bytesOut: verdict.bytesOut,
    policy: config.version,
  }
}

/** What was named in vain is worth knowing too. */
function givenName (call: Call): string | undefined {
  const member = call.spec?.target?.member
  const given = member === undefined ? undefined : call.params[member]
  return typeof given === 'string' ? given : undefined
}

/** A session speaks with one voice, mostly: the same credential from the same address. */
function speakerOf (call: Call): Speaker {
  const { session, arrival: { principal, source } } = call
  const known = session?.speaker
  if (known !== undefined && known.token === principal.tokenId && known.source === source && known.principal === principal) return known
  const speaker = new Speaker({ principal, token: principal.tokenId, client: clientOf(call), session: session?.label, source, era: call.version === '' ? call.era : call.version })
  if (session !== undefined) session.speaker = speaker
  return speaker
}

function clientOf ({ session, envelope, arrival }: Call): string {
  if (session !== undefined) return session.clientLabel
  const info = envelope?.clientInfo
  return info === undefined ? arrival.principal.clientId : `${info.name}/${info.version}`
}

/** W3C trace context: 2026-07-28 reserves `_meta.traceparent`; the header is what older clients have. */
function traceOf (call: Call): string | undefined {
  const meta = call.params['_meta']
  const given = isObject(meta) && typeof meta['traceparent'] === 'string' ? meta['traceparent'] : call.arrival.headers['traceparent']
  return typeof given === 'string' && given.length <= 64 ? given : undefined
}
