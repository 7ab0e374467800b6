import type { Answered, Call } from '../../src/call.ts'
import type { Params } from '../../src/protocol/message.ts'
import type { Gate } from './gate.ts'
import { recordAnswer } from './record-ask.ts'
import { durable } from './record.ts'

/**
 * A client of the session era answers what it was asked. The answer walks the guards that a call's arguments walk and
 * is durable on the record before the upstream gets it; what nobody asked this session goes nowhere.
 */
export async function deliver (gate: Gate, call: Call): Promise<Answered> {
  const asked = call.message.kind === 'response' ? call.session?.takeAsked(call.message.id) : undefined
  if (asked === undefined) return { kind: 'nothing' }
  const { call: about } = asked
  const response = call.value as Params
  try {
    const rule = hitOf(gate, call, about, response['result'])
    recordAnswer(gate, call, about, response, rule)
    await durable(gate)
    asked.respond(rule === undefined ? response : { error: { code: -32602, message: `The answer was blocked by the safety rule "${rule}".` } })
  } catch (error) {
    asked.respond({ error: { code: -32603, message: 'The answer could not be passed on.' } })
    throw error
  }
  return { kind: 'nothing' }
}

/** The rule that keeps an answer from the upstream. What nobody can say the target of, no rule can let pass. */
function hitOf ({ guards, config }: Gate, call: Call, about: Call, content: unknown): string | undefined {
  if (call.arrival.bytesIn > config.guards.maxArguments) return 'max_arguments'
  if (about.target === undefined) return 'no_target'
  return guards.checkPatterns(content, about.target)?.name
}
