import type { Answered, Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Session } from '../../src/sessions.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Gate } from './gate.ts'
import { relay } from './relay.ts'
import { instanceOf } from './send.ts'
import { unwatch, watch, watched } from './watch.ts'

/** Resources one session may be subscribed to. */
const maxSubscriptions = 1_000

const done: Answered = { kind: 'result', text: '{}', toolError: false }

/** The upstream is asked once for each resource; every session of the principal that subscribed hears of it. */
export async function subscribe (gate: Gate, call: Call): Promise<Answered> {
  bound(call.session, String(call.params['uri']))
  const { instance, uri } = await subscribable(gate, call)
  const answered = instance.era === 'legacy' ? await relay(gate, call) : await listenTo(instance, uri)
  if (answered.kind !== 'result') return answered
  try {
    bound(call.session, uri)
  } catch (error) {
    unwatch(gate, instance, uri) // others that came at the same time have the last places
    throw error
  }
  call.session?.subscriptions.set(uri, instance.upstream)
  return answered
}

/** The upstream is told only when nobody of this principal is still interested. */
export async function unsubscribe (gate: Gate, call: Call): Promise<Answered> {
  const { instance, uri } = await subscribable(gate, call)
  call.session?.subscriptions.delete(uri)
  if (instance.era === 'legacy') return watched(gate, instance).has(uri) ? done : await relay(gate, call)
  unwatch(gate, instance, uri)
  return done
}

/** Refuses what would make a session remember too much. What it is subscribed to already costs nothing more. */
function bound (session: Session | undefined, uri: string): void {
  if (session === undefined || session.subscriptions.size < maxSubscriptions || session.subscriptions.has(uri)) return
  throw new Refusal('PORTCULLIS_OVERLOADED', { message: `This session has ${maxSubscriptions} subscriptions already, which is the limit. End one first.` })
}

/** A 2026-07-28 upstream has no such request: the stream it is listened to on is opened anew with one resource more. */
async function listenTo (instance: Instance, uri: string): Promise<Answered> {
  if (!await watch(instance, uri)) throw new Refusal('PORTCULLIS_UNKNOWN_METHOD', { message: 'Method not found: this upstream has no subscriptions.' })
  return done
}

async function subscribable (gate: Gate, call: Call): Promise<{ instance: Instance, uri: string }> {
  const instance = call.instance ?? await instanceOf(gate, call)
  return { instance, uri: String(call.params['uri']) }
}
