import { Dialogue } from '../../src/bridge/dialogue.ts'
import type { Round } from '../../src/bridge/dialogue.ts'
import { paramsFor } from '../../src/bridge/params.ts'
import { giveUp } from '../../src/bridge/parking.ts'
import type { Parked } from '../../src/bridge/parking.ts'
import { openState, sealState } from '../../src/bridge/request-state.ts'
import type { State } from '../../src/bridge/request-state.ts'
import type { Answered, Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Gate } from './gate.ts'
import { permit, inputRequired } from './input-required.ts'
import { applyLevel } from './logging.ts'
import { changesFor, listenerOf } from './send.ts'
import { urlsFirst } from './urls-first.ts'

/**
 * A 2026-07-28 client calls an upstream of the session era. What the upstream asks in the middle of the call becomes an
 * `input_required` result; the call waits, parked, until the client comes back with its answers.
 */
export async function converse (gate: Gate, call: Call, current: Instance): Promise<Answer | Answered> {
  const state = stateOf(gate, call)
  const { dialogue, instance } = state?.kind === 'parked' ? await resume(gate, call, state.id) : { dialogue: await begin(gate, call, current), instance: current }
  for (;;) {
    const round = await listen(call, instance, dialogue)
    if (round.kind === 'answer') return urlsFirst(gate, call, instance, round.answer) ?? round.answer
    const answered = putToClient(gate, call, instance, dialogue, round)
    if (answered !== undefined) return answered
  }
}

function stateOf (gate: Gate, call: Call): State | undefined {
  const { requestState } = call.params
  if (requestState === undefined) return undefined // answers to nothing that was asked: the call begins anew, without them
  const state = typeof requestState === 'string' ? openState(gate.stateKey, call, requestState, Date.now()) : undefined
  if (state === undefined || state.kind === 'theirs') throw new Refusal('PORTCULLIS_STATE_EXPIRED')
  return state
}

async function begin (gate: Gate, call: Call, instance: Instance): Promise<Dialogue> {
  const dialogue: Dialogue = new Dialogue(call.record, () => instance.turns?.leave(dialogue))
  await turnOf(call, instance, dialogue, (refusal) => dialogue.fail(refusal))
  try {
    if (call.givenUp !== undefined) throw call.givenUp
    const begun = performance.now()
    if (call.envelope?.logLevel !== undefined) applyLevel(gate, instance, call.envelope.logLevel)
    dialogue.id = instance.request(call.method, (minted) => paramsFor(call, 'legacy', minted, { ...changesFor(call), inputResponses: undefined, requestState: undefined }, undefined), dialogue)
    call.upstreamMs = performance.now() - begun
    return dialogue
  } catch (error) {
    instance.turns?.leave(dialogue)
    throw error
  }
}

/** The call goes on where it was begun: another instance of its upstream knows the ids of other requests. */
async function resume (gate: Gate, call: Call, id: string): Promise<Parked> {
  const parked = gate.parking.take(id)
  if (parked === undefined) throw new Refusal('PORTCULLIS_STATE_EXPIRED')
  const { dialogue, instance } = parked
  const { inputResponses } = call.params
  try {
    if (!dialogue.over) await turnOf(call, instance, dialogue, cancelling(instance, dialogue))
  } catch (error) {
    giveUp(parked)
    throw error
  }
  dialogue.record = call.record
  instance.extend(dialogue.id)
  if (!dialogue.over && call.envelope?.logLevel !== undefined) applyLevel(gate, instance, call.envelope.logLevel)
  dialogue.answers(isObject(inputResponses) ? inputResponses : {})
  return parked
}

/** Not written where it is assigned, see send.ts. */
function cancelling (instance: Instance, dialogue: Dialogue): (refusal: Refusal) => void {
  return (refusal) => instance.cancel(dialogue.id, refusal)
}

/** Waits until the upstream is free for this call; `abort` ends the call if the client leaves meanwhile. */
async function turnOf (call: Call, instance: Instance, dialogue: Dialogue, abort: (refusal: Refusal) => void): Promise<void> {
  const turn = instance.turns?.enter(dialogue, instance.timeoutMs)
  if (turn === undefined) return
  call.cancel = abort
  await turn
}

async function listen (call: Call, instance: Instance, dialogue: Dialogue): Promise<Round> {
  if (call.givenUp !== undefined) instance.cancel(dialogue.id, call.givenUp)
  call.cancel = cancelling(instance, dialogue)
  const begun = performance.now()
  try {
    return await dialogue.round(listenerOf(call))
  } finally {
    call.cancel = undefined
    call.upstreamMs += performance.now() - begun
  }
}

/** What may be asked goes to the client, and the call is parked; undefined when nothing is left to ask. */
function putToClient (gate: Gate, call: Call, instance: Instance, dialogue: Dialogue, round: Extract<Round, { kind: 'asks' }>): Answered | undefined {
  try {
    const questions = new Map([...round.asks].filter(([, ask]) => {
      const refusal = permit(gate, call, ask, instance.upstream)
      if (refusal !== null) ask.refuse(-32601, refusal)
      return refusal === null
    }))
    if (questions.size === 0) return undefined
    const id = gate.parking.park({ principalId: call.principal.id, instance, dialogue })
    return inputRequired(call, instance.upstream, questions, sealState(gate.stateKey, call, { kind: 'parked', id }, Date.now()))
  } catch (error) {
    giveUp({ instance, dialogue })
    throw error
  }
}
