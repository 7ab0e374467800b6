import { urlRequired } from '../../src/bridge/error.ts'
import { sealState } from '../../src/bridge/request-state.ts'
import { questionFor } from '../../src/bridge/question.ts'
import type { Question } from '../../src/bridge/question.ts'
import type { Answered, Call } from '../../src/call.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import { refusalOf } from './ask-client.ts'
import type { Gate } from './gate.ts'
import { inputRequired, permit } from './input-required.ts'
import { recordAsk } from './record-ask.ts'

type Failure = Extract<Answered, { kind: 'error' }>

/** URLs of one error that are looked at. */
const maxUrls = 16

/**
 * The error by which a 2025-11-25 upstream says that its user has to visit a URL first (-32042) becomes, for a 2026-07-28
 * client, questions and a state that means: make the same call again. Undefined for every other answer.
 */
export function urlsFirst (gate: Gate, call: Call, instance: Instance, answer: Answer): Answered | undefined {
  if (answer.kind !== 'error' || answer.code !== urlRequired) return undefined
  const questions = questionsIn(answer).filter((question) => permit(gate, call, question, instance.upstream) === null)
  if (questions.length === 0) return undefined
  return inputRequired(call, instance.upstream, new Map(questions.map((question, at) => [`url-${at + 1}`, question])), sealState(gate.stateKey, call, { kind: 'again' }, Date.now()))
}

/**
 * The same error for a client of the session era: only 2025-11-25 knows it, with those of its URLs that may be put to a
 * person, who hears when one is done. When none is left it is a plain error. Each URL is on the record as any question is.
 */
export function withUrlsChecked (gate: Gate, call: Call, { upstream }: Instance, error: Failure): Failure {
  if (error.code !== urlRequired || call.version !== '2025-11-25') return error
  const shown = call.arrival.endpoint === undefined ? upstream : undefined
  const elicitations = questionsIn(error).flatMap((question) => {
    const refusal = refusalOf(gate, call, question, upstream)
    recordAsk(gate, call, question, refusal)
    if (refusal !== null) return []
    call.session?.expectVisit(upstream, question.params['elicitationId'])
    return [questionFor(question, shown).params]
  })
  return elicitations.length === 0 ? { ...error, code: -32603, data: undefined } : { ...error, data: { elicitations } }
}

function questionsIn ({ data }: Failure): Question[] {
  if (!isObject(data) || !Array.isArray(data['elicitations'])) return []
  return data['elicitations'].filter(isObject).slice(0, maxUrls).map((params) => ({ method: 'elicitation/create', params: { ...params, mode: 'url' } }))
}
