import { randomBytes } from 'node:crypto'
import { questionFor, questionProblem } from '../../src/bridge/question.ts'
import type { Question } from '../../src/bridge/question.ts'
import { renameInQuestion } from '../../src/bridge/tasks.ts'
import type { Call } from '../../src/call.ts'
import { kindOf, needOf } from '../../src/protocol/capabilities.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Params } from '../../src/protocol/message.ts'
import { request } from '../../src/protocol/reply.ts'
import type { Ask } from '../../src/upstreams/ask.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Gate } from './gate.ts'
import { recordAsk } from './record-ask.ts'
import { renaming } from './tasks.ts'

/** How long a client of the session era has to answer, in milliseconds: people read before they answer. */
const answerMs = 10 * 60_000
/** Questions that may be open at one session. */
const maxAsked = 64

/** A response of the client: its `result`, or an `error` with code and message. */
export type Response = { readonly result: Params } | { readonly error: { readonly code: number, readonly message: string } }

/**
 * A legacy upstream asks, a legacy client answers: on the stream of the call the question is about. The call has a person's
 * time until the last of its questions is answered or taken back, and then its own anew.
 */
export function askOnStream (gate: Gate, call: Call, instance: Instance, ask: Ask, requestId: number): void {
  const over = (): void => { if (!isAsked(call)) instance.extend(requestId) }
  instance.extend(requestId, answerMs)
  const asking = askClient(gate, call, ask, instance.upstream, (withdraw) => {
    ask.withdrawn = () => {
      withdraw()
      over()
    }
  })
  asking.then((response) => {
    over()
    if ('result' in response) ask.answer(response.result)
    else ask.refuse(response.error.code, response.error.message)
  }, (error: unknown) => {
    over()
    gate.log.error({ record: call.record, err: error }, 'a question could not be put to a client')
    ask.refuse(-32603, 'The question could not be put to the client.')
  })
}

/**
 * Puts a question to a client of the session era, on its call's own stream, and waits for the response. What the client
 * cannot be asked, must not be asked, or does not answer in time, is an error response.
 * @param onAsked gets the function that takes the question back
 */
export async function askClient (gate: Gate, call: Call, given: Question, upstream: string, onAsked: (withdraw: () => void) => void = () => {}): Promise<Response> {
  const { session, reply, arrival } = call
  const named = { method: given.method, params: renameInQuestion(given.params, renaming(gate, call, upstream)) }
  const question = questionFor(named, arrival.endpoint === undefined ? upstream : undefined)
  const refusal = session === undefined || !reply.streams ? 'The client takes no questions: it has no session, or no stream.' : session.asked.size >= maxAsked ? 'Too many questions are open.' : refusalOf(gate, call, given, upstream)
  recordAsk(gate, call, given, refusal)
  if (refusal !== null || session === undefined) return { error: { code: -32601, message: refusal ?? '' } }
  session.expectVisit(upstream, question.params['elicitationId'])
  const id = `ask-${randomBytes(9).toString('base64url')}`
  return await new Promise((resolve) => {
    const timer = setTimeout(() => session.takeAsked(id)?.respond(late), answerMs).unref()
    session.asked.set(id, {
      call,
      respond: (response) => {
        clearTimeout(timer)
        resolve(read(response))
      },
    })
    onAsked(() => {
      if (session.takeAsked(id) === undefined) return
      clearTimeout(timer)
      reply.notify(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id, reason: 'The upstream does not want to know any more.' } }))
    })
    if (!reply.notify(request(id, question.method, question.params))) session.takeAsked(id)?.respond({ error: { code: -32603, message: 'The client does not read its stream.' } })
  })
}

function isAsked (call: Call): boolean {
  return [...call.session?.asked.values() ?? []].some((asked) => asked.call === call)
}

/** Why this may not be asked of a client of the session era, in words for the upstream, or null. */
export function refusalOf (gate: Pick<Gate, 'config'>, call: Call, question: Question, upstream: string): string | null {
  const need = needOf(question.method, question.params)
  const permitted = gate.config.upstreams.get(upstream)?.asks ?? []
  if (need === undefined || !permitted.includes(kindOf(need))) return `This upstream may not ask for ${question.method}.`
  if (call.session?.able.has(need) !== true) return `The client did not say that it can be asked for ${need}.`
  return questionProblem(question)
}

const late: Response = { error: { code: -1, message: 'Nobody answered.' } }

function read (response: Params): Response {
  const { result, error } = response
  if (isObject(result)) return { result }
  const code = isObject(error) && Number.isSafeInteger(error['code']) ? error['code'] as number : -32603
  return { error: { code, message: isObject(error) && typeof error['message'] === 'string' ? error['message'].slice(0, 1000) : 'The client\'s response is no answer.' } }
}
