import type { Answered, Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Gate } from './gate.ts'
import { relay } from './relay.ts'
import { instanceOf } from './send.ts'

/** The upstream is asked once for each resource; every session of the principal that subscribed hears of it. */
export async function subscribe (gate: Gate, call: Call): Promise<Answered> {
  const uri = await subscribable(gate, call)
  const answered = await relay(gate, call)
  if (answered.kind === 'result') call.session?.subscriptions.add(uri)
  return answered
}

/** The upstream is told only when no other session of this principal is still interested. */
export async function unsubscribe (gate: Gate, call: Call): Promise<Answered> {
  const uri = await subscribable(gate, call)
  call.session?.subscriptions.delete(uri)
  // A shared instance has the subscriptions of everybody.
  const sessions = call.instance?.owner === '*' ? gate.sessions.all() : gate.sessions.of(call.principal.id)
  const others = [...sessions].some(({ subscriptions }) => subscriptions.has(uri))
  return others ? { kind: 'result', text: '{}', toolError: false } : await relay(gate, call)
}

async function subscribable (gate: Gate, call: Call): Promise<string> {
  const instance = call.instance ??= await instanceOf(gate, call)
  if (instance.era !== 'legacy') throw new Refusal('PORTCULLIS_UNKNOWN_METHOD', { message: `Method not found: ${call.method}` })
  return String(call.params['uri'])
}
