import type { Answered, Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { deliver } from './deliver.ts'
import type { Gate, Step } from './gate.ts'
import { discover, initialize } from './handshake.ts'
import { list } from './list.ts'
import { listen } from './listen.ts'
import { setLevel } from './logging.ts'
import { cancelled } from './cancelled.ts'
import { relay } from './relay.ts'
import { subscribe, unsubscribe } from './subscribe.ts'

export type Handler = (gate: Gate, call: Call) => Answered | Promise<Answered>

const nothing: Handler = () => ({ kind: 'nothing' })

/** Who answers what. Methods that are not here do not get this far: `message` refused them by absence. */
const handlers: Readonly<Record<string, Handler>> = {
  initialize,
  ping: () => ({ kind: 'result', text: '{}', toolError: false }),
  'server/discover': discover,
  'tools/list': list,
  'prompts/list': list,
  'resources/list': list,
  'resources/templates/list': list,
  'tools/call': relay,
  'prompts/get': relay,
  'resources/read': relay,
  'completion/complete': relay,
  'tasks/get': relay,
  'tasks/result': relay,
  'tasks/update': relay,
  'tasks/cancel': relay,
  'resources/subscribe': subscribe,
  'resources/unsubscribe': unsubscribe,
  'logging/setLevel': setLevel,
  'subscriptions/listen': listen,
  'notifications/initialized': nothing,
  'notifications/cancelled': cancelled,
  'notifications/progress': nothing,
  'notifications/roots/list_changed': nothing,
}

/** forward: the message goes to who answers it: the upstream's instance, or the gateway itself. */
export function forward (gate: Gate): Step {
  return (call) => {
    if (call.message.kind === 'response' || call.spec === undefined) {
      return deliver(gate, call).then((answered) => { call.answer = answered })
    }
    const handler = handlers[call.method]
    if (handler === undefined) throw new Refusal('PORTCULLIS_UNKNOWN_METHOD')
    const answer = handler(gate, call)
    if (answer instanceof Promise) return answer.then((answered) => { call.answer = answered })
    call.answer = answer
  }
}
