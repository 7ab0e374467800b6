import { openState, sealState } from '../../src/bridge/request-state.ts'
import type { Question } from '../../src/bridge/question.ts'
import type { Answered, Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { AskKind } from '../../src/protocol/capabilities.ts'
import { takesTasks } from '../../src/bridge/tasks.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Params } from '../../src/protocol/message.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Gate } from './gate.ts'
import { inputRequired, permit } from './input-required.ts'
import { send } from './send.ts'

/**
 * A 2026-07-28 client calls an upstream of its own era. The upstream is told only of what it may ask; its questions are
 * looked at and pass, its requestState travels sealed, so that nobody else can use it.
 */
export async function passOn (gate: Gate, call: Call, instance: Instance): Promise<Answer | Answered> {
  const answer = await send(instance, call, { changes: stateChange(gate, call), capabilities: narrowed(call.envelope?.capabilities ?? {}, gate.config.upstreams.get(instance.upstream)?.asks ?? []) })
  if (answer.kind === 'error' || answer.resultType === undefined || answer.resultType === 'complete') return answer
  if (answer.resultType === 'task' && call.method === 'tools/call' && takesTasks(call)) return answer
  if (answer.resultType !== 'input_required') throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE', { message: 'The upstream answered with a kind of result that is not served here.' })
  return ask(gate, call, instance, JSON.parse(String(answer.text)) as Params)
}

function ask (gate: Gate, call: Call, instance: Instance, { inputRequests, requestState }: Params): Answered {
  const questions = new Map(Object.entries(isObject(inputRequests) ? inputRequests : {}).map(([key, given]) => [key, questionOf(given)]))
  for (const question of questions.values()) {
    const refusal = permit(gate, call, question, instance.upstream)
    if (refusal !== null) throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE', { message: `The upstream asked for something that is not passed on. ${refusal}` })
  }
  const state = typeof requestState === 'string' ? requestState : null
  return inputRequired(call, instance.upstream, questions, sealState(gate.stateKey, call, { kind: 'theirs', state }, Date.now()))
}

/** An entry of `inputRequests`; without a method when it is none. */
export function questionOf (given: unknown): Question {
  return isObject(given) && typeof given['method'] === 'string' && (given['params'] === undefined || isObject(given['params']))
    ? { method: given['method'], params: given['params'] ?? {} }
    : { method: '', params: {} }
}

/** The upstream gets its own state back, byte for byte. */
function stateChange (gate: Gate, call: Call): Params {
  const { requestState } = call.params
  if (requestState === undefined) return {}
  const state = typeof requestState === 'string' ? openState(gate.stateKey, call, requestState, Date.now()) : undefined
  if (state?.kind !== 'theirs') throw new Refusal('PORTCULLIS_STATE_EXPIRED')
  return { requestState: state.state ?? undefined }
}

const kinds: readonly AskKind[] = ['elicitation', 'sampling', 'roots']

/** The client's capabilities without what this upstream may not ask. */
function narrowed (capabilities: Params, permitted: readonly AskKind[]): Params {
  const hidden = kinds.filter((kind) => capabilities[kind] !== undefined && !permitted.includes(kind))
  return hidden.length === 0 ? capabilities : Object.fromEntries(Object.entries(capabilities).filter(([name]) => !hidden.includes(name as AskKind)))
}
