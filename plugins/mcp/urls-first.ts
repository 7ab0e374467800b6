import { sealState } from '../../src/bridge/request-state.ts'
import type { Question } from '../../src/bridge/question.ts'
import type { Answered, Call } from '../../src/call.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Gate } from './gate.ts'
import { inputRequired, permit } from './input-required.ts'

/**
 * The error by which a 2025-11-25 upstream says that its user has to visit a URL first (-32042) becomes, for a 2026-07-28
 * client, questions and a state that means: make the same call again. Undefined for every other answer.
 */
export function urlsFirst (gate: Gate, call: Call, instance: Instance, answer: Answer): Answered | undefined {
  if (answer.kind !== 'error' || answer.code !== -32042 || !isObject(answer.data) || !Array.isArray(answer.data['elicitations'])) return undefined
  const asked = answer.data['elicitations'].filter(isObject).map((params): Question => ({ method: 'elicitation/create', params: { ...params, mode: 'url' } }))
  const questions = asked.filter((question) => permit(gate, call, question, instance.upstream) === null)
  if (questions.length === 0) return undefined
  return inputRequired(call, instance.upstream, new Map(questions.map((question, at) => [`url-${at + 1}`, question])), sealState(gate.stateKey, call, { kind: 'again' }, Date.now()))
}
