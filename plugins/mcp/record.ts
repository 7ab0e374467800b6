import type { Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Entry } from '../../src/ledger/entry.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Gate, Step } from './gate.ts'

/** record: the intent is durable before anything is forwarded. No record, no call. */
export function record ({ ledger, guards, config }: Pick<Gate, 'ledger' | 'guards' | 'config'>): Step {
  return (call) => {
    if (call.spec?.unrecorded === true || call.message.kind === 'response') return
    if (call.message.kind === 'notification') {
      ledger.append({ ...factsOf(call, config.version), kind: 'notification', outcome: 'ok' })
      return
    }
    ledger.append({ ...factsOf(call, config.version), ...argumentsOf(call, guards), kind: 'call', decision: 'allow' })
    call.intended = true
    return new Promise((resolve, reject) => {
      ledger.durable((error) => error === undefined ? resolve() : reject(new Refusal('PORTCULLIS_LEDGER_UNAVAILABLE', { cause: error })))
    })
  }
}

/** What is known of a call at any point of the pipeline, as the ledger keeps it. */
export function factsOf (call: Call, policy: string): Omit<Entry, 'kind'> {
  const { principal, arrival, session, client, target, decision } = call
  return {
    record: call.record,
    principal: { id: principal.id, name: principal.name },
    token: principal.tokenId,
    client: client === undefined ? principal.clientId : `${client.name}/${client.version}`,
    session: session?.id.slice(-12),
    trace: traceOf(call),
    source: arrival.source,
    era: call.version === '' ? call.era : call.version,
    method: call.method,
    upstream: target?.upstream ?? arrival.endpoint,
    target: target?.name,
    rule: decision?.rule,
    bytesIn: arrival.bytesIn,
    policy,
  }
}

/** The arguments as the record keeps them. */
export function argumentsOf (call: Call, guards: Gate['guards']): Pick<Entry, 'args' | 'digest'> {
  if (call.params['arguments'] === undefined) return {}
  const { text, digest } = guards.recordArguments(call.params['arguments'])
  return { args: text, digest }
}

/** W3C trace context: 2026-07-28 reserves `_meta.traceparent`; the header is what older clients have. */
function traceOf (call: Call): string | undefined {
  const meta = call.params['_meta']
  const given = isObject(meta) && typeof meta['traceparent'] === 'string' ? meta['traceparent'] : call.arrival.headers['traceparent']
  return typeof given === 'string' && given.length <= 64 ? given : undefined
}
