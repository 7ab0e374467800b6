import { questionFor } from '../../src/bridge/question.ts'
import { concernsTask, renameTasks } from '../../src/bridge/tasks.ts'
import type { Call, Target } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Params } from '../../src/protocol/message.ts'
import { openTask, sealTask } from '../../src/protocol/task-ids.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import type { Gate } from './gate.ts'
import { permit } from './input-required.ts'
import { questionOf } from './pass-on.ts'

type Result = Extract<Answer, { kind: 'result' }>

/** The tool whose task a message is about: what may be done with the tool, may be done with its task. Undefined: no such task. */
export function targetOfTask ({ stateKey }: Pick<Gate, 'stateKey'>, call: Call): Target | undefined {
  const { endpoint, principal } = call.arrival
  const task = openTask(stateKey, { principalId: principal.id, era: call.era }, call.params['taskId'])
  if (task === undefined || (endpoint !== undefined && endpoint !== task.upstream)) return undefined
  call.task = task
  return { kind: 'tool', upstream: task.upstream, name: task.tool }
}

/** What the upstream calls a task → what this client calls it. */
export function renaming ({ stateKey }: Pick<Gate, 'stateKey'>, call: Call, upstream: string): (id: string) => string {
  return (id) => {
    const sealed = sealTask(stateKey, { principalId: call.principal.id, era: call.era }, { upstream, tool: call.target?.name ?? '', id })
    if (sealed === undefined) throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE', { message: 'The upstream gave a task an id that is too long to be passed on.' })
    return sealed
  }
}

/** An answer with the ids of tasks as the client knows them. What a task asks of the client is looked at as any question is. */
export function withTaskIds (gate: Gate, call: Call, upstream: string, answer: Result): Result {
  if (!concernsTask(call, answer)) return answer
  const text = renameTasks(String(answer.text), renaming(gate, call, upstream))
  return { ...answer, text: call.era === 'modern' && call.method === 'tasks/get' ? withQuestions(gate, call, upstream, text) : text }
}

/** A task of 2026-07-28 that needs input says so in its state. */
function withQuestions (gate: Gate, call: Call, upstream: string, text: string): string {
  const state = JSON.parse(text) as Params
  if (!isObject(state['inputRequests'])) return text
  const shown = call.arrival.endpoint === undefined ? upstream : undefined
  const questions = Object.entries(state['inputRequests']).map(([key, given]) => {
    const question = questionOf(given)
    const refusal = permit(gate, call, question, upstream)
    if (refusal !== null) throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE', { message: `The task asked for something that is not passed on. ${refusal}` })
    return [key, questionFor(question, shown)]
  })
  return JSON.stringify({ ...state, inputRequests: Object.fromEntries(questions) })
}
