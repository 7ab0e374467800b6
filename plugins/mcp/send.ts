import type { Call } from '../../src/call.ts'
import { paramsFor } from '../../src/bridge/params.ts'
import type { Listener } from '../../src/bridge/dialogue.ts'
import { Refusal } from '../../src/errors.ts'
import { isAtLeast } from '../../src/protocol/era.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Params } from '../../src/protocol/message.ts'
import { notification } from '../../src/protocol/reply.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import type { Ask } from '../../src/upstreams/ask.ts'
import type { Sink } from '../../src/upstreams/channel.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Askable } from '../../src/upstreams/turns.ts'
import type { Gate } from './gate.ts'
import { ownerOf } from './owner.ts'

export interface Sending {
  /** Members of params that the upstream gets instead of the client's. */
  readonly changes?: Readonly<Record<string, unknown>>
  /** The client capabilities a 2026-07-28 upstream is told of. */
  readonly capabilities?: Params
  /** Hears what a server of the session era asks meanwhile; `request` is the id of the request it works on. */
  readonly onAsk?: (ask: Ask, request: number) => void
}

export async function instanceOf (gate: Gate, call: Call): Promise<Instance> {
  const upstream = call.target?.upstream ?? call.arrival.endpoint
  if (upstream === undefined) throw new Refusal('PORTCULLIS_UNKNOWN_METHOD')
  return await gate.supervisor.instance(upstream, ownerOf(call), call.era)
}

/** One request to an upstream on the caller's behalf: its progress and log messages travel back on the call's stream. */
export function send (instance: Instance, call: Call, { changes, capabilities, onAsk }: Sending = {}): Promise<Answer> {
  if (call.givenUp !== undefined) return Promise.reject(call.givenUp)
  return new Promise((resolve, reject) => {
    const turns = onAsk === undefined ? undefined : instance.turns
    const caller = new Caller(call, resolve, reject, onAsk, turns)
    const go = (): void => {
      if (call.givenUp !== undefined) return caller.fail(call.givenUp)
      try {
        caller.request = instance.request(call.method, (minted) => paramsFor(call, instance.era, minted, changesFor(call, changes), capabilities), caller)
        call.cancel = cancelling(instance, caller)
      } catch (error) {
        caller.fail(error)
      }
    }
    const turn = turns?.enter(caller, instance.timeoutMs)
    if (turn === undefined) return go()
    call.cancel = (refusal) => caller.fail(refusal)
    turn.then(go, (error: unknown) => caller.fail(error))
  })
}

/**
 * How the upstream is told to stop. Not written where it is assigned: V8 puts a function that is assigned to a member
 * among the old objects, which keeps everything the call holds until the next full collection.
 */
function cancelling (instance: Instance, caller: Caller): (refusal: Refusal) => void {
  return (refusal) => instance.cancel(caller.request, refusal)
}

/** What the call's client hears while an upstream works: progress under its own token, log messages it asked for. */
export function listenerOf (call: Call): Listener {
  return { progress: (params) => tellProgress(call, params), log: (params) => tellLog(call, params) }
}

/** What differs from what the client sent: on the aggregated endpoint the upstream is asked for the name it knows. */
export function changesFor (call: Call, more?: Params): Params {
  if (call.task !== undefined) return { taskId: call.task.id }
  const { target, arrival, spec } = call
  if (target === undefined || arrival.endpoint !== undefined || target.kind === 'resource') return more ?? none
  if (spec?.target !== undefined) return { name: target.name, ...more }
  const ref = call.params['ref']
  return isObject(ref) ? { ref: { ...ref, name: target.name } } : none
}

const none: Params = Object.freeze({})

/** Who waits for the answer: the call, and what it hears meanwhile. */
class Caller implements Sink, Askable {
  request = 0
  place = -1
  readonly #begun = performance.now()
  readonly #call: Call
  readonly #resolve: (answer: Answer) => void
  readonly #reject: (error: unknown) => void
  readonly #onAsk: Sending['onAsk']
  readonly #turns: Instance['turns']

  constructor (call: Call, resolve: (answer: Answer) => void, reject: (error: unknown) => void, onAsk: Sending['onAsk'], turns: Instance['turns']) {
    this.#call = call
    this.#resolve = resolve
    this.#reject = reject
    this.#onAsk = onAsk
    this.#turns = turns
  }

  get record (): string {
    return this.#call.record
  }

  answer (answer: Answer): void {
    this.#over()
    this.#resolve(answer)
  }

  fail (error: unknown): void {
    this.#over()
    this.#reject(error)
  }

  asked (ask: Ask): void {
    this.#onAsk?.(ask, this.request)
  }

  progress (params: Record<string, unknown>): void {
    tellProgress(this.#call, params)
  }

  /** A session has its own stream for that, where it is open. */
  log (params: Record<string, unknown>, told: boolean): void {
    if (!told || this.#call.era === 'modern') tellLog(this.#call, params)
  }

  #over (): void {
    this.#call.cancel = undefined
    this.#call.upstreamMs = performance.now() - this.#begun
    this.#turns?.leave(this)
  }
}

function tellProgress (call: Call, params: Record<string, unknown>): void {
  const meta = call.params['_meta']
  const progressToken = isObject(meta) ? meta['progressToken'] : undefined
  if (progressToken !== undefined) call.reply.notify(notification('notifications/progress', { ...params, progressToken }))
}

/** A 2026-07-28 client hears log messages only when this very request asked for them. */
function tellLog (call: Call, params: Record<string, unknown>): void {
  const wanted = call.era === 'modern' ? call.envelope?.logLevel : call.session?.logLevel ?? 'debug'
  if (wanted !== undefined && isAtLeast(params['level'], wanted)) call.reply.notify(notification('notifications/message', params))
}
