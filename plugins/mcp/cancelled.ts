import type { Answered, Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Gate } from './gate.ts'

/** A legacy client gives one of its own calls up. Ids of other sessions mean nothing here. */
export function cancelled (_gate: Gate, call: Call): Answered {
  const id = call.params['requestId']
  const given = call.session?.calls.find((other) => other.id === id && other !== call)
  given?.giveUp(new Refusal('PORTCULLIS_CANCELLED'))
  return { kind: 'nothing' }
}
