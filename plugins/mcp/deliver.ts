import type { Answered, Call } from '../../src/call.ts'
import type { Params } from '../../src/protocol/message.ts'
import type { Gate } from './gate.ts'
import { recordAnswer } from './record-ask.ts'

/**
 * A client of the session era answers what it was asked. The answer walks the guards that a call's arguments walk, is
 * recorded, and goes to the upstream; what nobody asked this session goes nowhere.
 */
export function deliver (gate: Gate, call: Call): Answered {
  const asked = call.message.kind === 'response' ? call.session?.takeAsked(call.message.id) : undefined
  if (asked === undefined) return { kind: 'nothing' }
  const { call: about } = asked
  const response = call.value as Params
  try {
    const rule = hitOf(gate, call, about, response['result'])
    recordAnswer(gate, call, about, response, rule)
    asked.respond(rule === undefined ? response : { error: { code: -32602, message: `The answer was blocked by the safety rule "${rule}".` } })
  } catch (error) {
    asked.respond({ error: { code: -32603, message: 'The answer could not be passed on.' } })
    throw error
  }
  return { kind: 'nothing' }
}

function hitOf ({ guards, config }: Gate, call: Call, about: Call, content: unknown): string | undefined {
  if (call.arrival.bytesIn > config.guards.maxArguments) return 'max_arguments'
  return about.target === undefined ? undefined : guards.checkPatterns(content, about.target)?.name
}
