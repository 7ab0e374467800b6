import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Question } from '../../src/bridge/question.ts'
import type { Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { capabilitiesFor, kindOf } from '../../src/protocol/capabilities.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Params } from '../../src/protocol/message.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import { askClient } from './ask-client.ts'
import type { Gate } from './gate.ts'
import { send } from './send.ts'

/** An upstream that still asks after so many rounds will never be content. */
const maxRounds = 8
/** A round in which nothing is asked of anybody is not hurried, in milliseconds. */
const paceMs = 250

/**
 * A client of the session era calls a 2026-07-28 upstream. What the upstream asks in its answer is put to the client as
 * requests on the call's own stream, and the upstream is called again with what the client says.
 */
export async function fulfil (gate: Gate, call: Call, instance: Instance): Promise<Answer> {
  const capabilities = capabilitiesOf(gate, call, instance.upstream)
  let changes: Params = {}
  for (let round = 0; round < maxRounds; round++) {
    const answer = await send(instance, call, { changes, capabilities })
    if (answer.kind === 'error') {
      // It describes what the gateway said of the client; the client cannot do anything with it.
      if (answer.code === -32021) throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE')
      return answer
    }
    if (answer.resultType === undefined || answer.resultType === 'complete') return answer
    if (answer.resultType !== 'input_required') throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE', { message: 'The upstream answered with a kind of result that this client\'s protocol revision does not have.' })
    const { inputRequests, requestState } = JSON.parse(String(answer.text)) as Params
    changes = { inputResponses: await abortable(call, answersTo(gate, call, instance, isObject(inputRequests) ? inputRequests : {})), requestState }
  }
  throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE', { message: `The upstream asked ${maxRounds} times and was not content.` })
}

function capabilitiesOf (gate: Gate, call: Call, upstream: string): Params {
  const permitted = gate.config.upstreams.get(upstream)?.asks ?? []
  return call.reply.streams ? capabilitiesFor([...call.session?.able ?? []].filter((need) => permitted.includes(kindOf(need)))) : {}
}

/** All questions of one round at once; the answers under the upstream's own keys. */
async function answersTo (gate: Gate, call: Call, instance: Instance, inputRequests: Params): Promise<Params> {
  const entries = Object.entries(inputRequests)
  if (entries.length === 0) await pause(paceMs)
  return Object.fromEntries(await Promise.all(entries.map(async ([key, given]) => [key, await answerTo(gate, call, instance, given)] as const)))
}

async function answerTo (gate: Gate, call: Call, { upstream }: Instance, given: unknown): Promise<Params> {
  if (!isObject(given) || typeof given['method'] !== 'string') throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE')
  const params = isObject(given['params']) ? given['params'] : {}
  // A client of the session era wants an id with a URL, so that it could be told when the visit is over.
  const question: Question = { method: given['method'], params: params['mode'] === 'url' ? { elicitationId: randomUUID(), ...params } : params }
  const response = await askClient(gate, call, question, upstream)
  if ('result' in response) return response.result
  // A person who turns a form down has answered; a client that cannot be asked, or a model that is not there, has not.
  if (question.method === 'elicitation/create' && response.error.code === -1) return { action: 'decline' }
  throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE', { message: `The upstream asks for input that this client does not give: ${response.error.message}` })
}

/** The client may give the call up while it is being asked. */
async function abortable<T> (call: Call, work: Promise<T>): Promise<T> {
  try {
    return await new Promise((resolve, reject) => {
      call.cancel = reject
      if (call.givenUp !== undefined) reject(call.givenUp)
      work.then(resolve, reject)
    })
  } finally {
    call.cancel = undefined
  }
}
