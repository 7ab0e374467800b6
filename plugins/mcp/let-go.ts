import { Refusal } from '../../src/errors.ts'
import type { Session } from '../../src/sessions.ts'
import type { Gate } from './gate.ts'
import { unwatch } from './watch.ts'

/** A session was ended by its client, here or at another gateway: its stream ends, and with it whatever it began. */
export function hangUp (gate: Gate, session: Session): void {
  gate.streams.ofSession(session)?.end()
  letGo(gate, session)
  gate.replays.endSession(session)
}

/** A session was ended: what it had begun is given up, and what was started for it alone ends too. */
export function letGo (gate: Gate, session: Session): void {
  for (const call of [...session.calls]) call.giveUp(new Refusal('PORTCULLIS_CANCELLED'))
  unsubscribe(gate, session)
  gate.supervisor.endSession(session.principalId, session.id).catch((error: unknown) => gate.log.error({ err: error }, 'instances of a session could not be ended'))
}

/** Upstreams need not tell a session any more that is not there to hear it. */
export function unsubscribe (gate: Pick<Gate, 'policy' | 'sessions' | 'streams' | 'supervisor' | 'log'>, session: Session): void {
  const { principalId, id, subscriptions } = session
  const left = [...subscriptions]
  subscriptions.clear()
  for (const [uri, upstream] of left) {
    const instance = gate.supervisor.peek(upstream, { user: { id: principalId, name: '' }, session: id }, 'legacy')
    try {
      if (instance !== undefined) unwatch(gate, instance, uri)
    } catch (error) {
      gate.log.debug({ upstream, err: error }, 'an upstream could not be told that nobody listens any more')
    }
  }
}
