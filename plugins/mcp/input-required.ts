import { questionFor, questionProblem } from '../../src/bridge/question.ts'
import type { Question } from '../../src/bridge/question.ts'
import type { Answered, Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { abilitiesOf, capabilitiesFor, kindOf, needOf } from '../../src/protocol/capabilities.ts'
import { recordKey } from '../../src/protocol/era.ts'
import type { Gate } from './gate.ts'
import { recordAsk } from './record-ask.ts'

/**
 * May this be asked of the client of a 2026-07-28 call? Recorded either way.
 * @returns null, or why not, in words for the upstream
 * @throws Refusal PORTCULLIS_CAPABILITY_REQUIRED when only the client stands in the way, as the specification has it
 */
export function permit (gate: Gate, call: Call, question: Question, upstream: string): string | null {
  const need = needOf(question.method, question.params)
  const kinds = gate.config.upstreams.get(upstream)?.asks ?? []
  if (need === undefined || !kinds.includes(kindOf(need))) return refused(`This upstream may not ask for ${question.method.slice(0, 64)}.`)
  const problem = questionProblem(question)
  if (problem !== null) return refused(problem)
  if (!abilitiesOf(call.envelope?.capabilities ?? {}, call.version).has(need)) {
    refused(`The client did not say that it can be asked for ${need}.`)
    throw new Refusal('PORTCULLIS_CAPABILITY_REQUIRED', { message: `The upstream asks for ${need}, which this client did not say it can do.`, data: { requiredCapabilities: capabilitiesFor([need]) } })
  }
  recordAsk(gate, call, question, null)
  return null

  function refused (why: string): string {
    recordAsk(gate, call, question, why)
    return why
  }
}

/** The result that puts questions to a 2026-07-28 client; it calls again with its answers and this state. */
export function inputRequired (call: Call, upstream: string, questions: ReadonlyMap<string, Question>, requestState: string): Answered {
  const shown = call.arrival.endpoint === undefined ? upstream : undefined
  const inputRequests = Object.fromEntries([...questions].map(([key, question]) => {
    const { method, params: { elicitationId, ...params } } = questionFor(question, shown)
    return [key, { method, params }]
  }))
  return { kind: 'result', toolError: false, text: JSON.stringify({ resultType: 'input_required', inputRequests, requestState, _meta: { [recordKey]: call.record } }) }
}
