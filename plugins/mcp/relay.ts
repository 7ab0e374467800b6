import type { Answered, Call } from '../../src/call.ts'
import { errorFor } from '../../src/bridge/error.ts'
import { resultFor } from '../../src/bridge/result.ts'
import { Refusal } from '../../src/errors.ts'
import type { Era } from '../../src/protocol/era.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import { askOnStream } from './ask-client.ts'
import { converse } from './converse.ts'
import { fulfil } from './fulfil.ts'
import type { Gate } from './gate.ts'
import { passOn } from './pass-on.ts'
import { instanceOf, send } from './send.ts'
import { withTaskIds } from './tasks.ts'
import { withUrlsChecked } from './urls-first.ts'

/** Sends a call to its instance and brings back the answer, carrying questions the other way meanwhile. */
type Way = (gate: Gate, call: Call, instance: Instance) => Promise<Answer | Answered>

/** How questions travel: era of the client → era of the upstream. */
const ways: Readonly<Record<Era, Readonly<Record<Era, Way>>>> = {
  legacy: {
    legacy: (gate, call, instance) => send(instance, call, { onAsk: (ask, request) => askOnStream(gate, call, instance, ask, request) }),
    modern: fulfil,
  },
  modern: { legacy: converse, modern: passOn },
}

/** Sends the call to the instance that serves its principal and brings back the answer in the client's era. */
export function relay (gate: Gate, call: Call): Promise<Answered> {
  const { instance } = call
  return instance?.isOpen !== true ? instanceOf(gate, call).then((started) => relayTo(started, gate, call)) : relayTo(instance, gate, call)
}

function relayTo (instance: Instance, gate: Gate, call: Call): Promise<Answered> {
  const way = call.spec?.asks === true ? ways[call.era][instance.era] : undefined
  const answering = way === undefined ? send(instance, call) : way(gate, call, instance)
  return answering.then((answer) => present(answer, instance, gate, call))
}

function present (answer: Answer | Answered, instance: Instance, gate: Gate, call: Call): Answered {
  const { config, catalog } = gate
  if (!('resultType' in answer)) {
    return answer.kind === 'error' ? errorFor(withUrlsChecked(gate, call, instance, answer), instance.era, call) : answer
  }
  if (instance.era === 'modern' && answer.resultType === undefined) noteUntyped(gate, instance)
  if (answer.text.length > config.guards.maxResult) throw tooLarge(answer.text.length, config.guards.maxResult)
  if (call.arrival.endpoint === undefined) catalog.learn(call, instance.upstream, answer.text)
  return { kind: 'result', text: resultFor(withTaskIds(gate, call, instance.upstream, answer), instance.era, call.era, call.record, call.method, instance.tools.get(call.target?.name ?? '')?.['outputSchema']), toolError: answer.isError }
}

/** It is taken for complete; whoever runs the server is told once. */
function noteUntyped (gate: Gate, instance: Instance): void {
  if (instance.untypedNoted) return
  instance.untypedNoted = true
  gate.log.warn({ upstream: instance.upstream }, 'the upstream does not say what kind of result it gives (resultType); it is taken for a complete one')
}

function tooLarge (size: number, max: number): Refusal {
  return new Refusal('PORTCULLIS_RESULT_TOO_LARGE', { message: `The result has ${size} bytes; at most ${max} are passed on. Ask for less.`, data: { size, max } })
}
