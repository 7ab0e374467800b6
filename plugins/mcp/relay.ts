import type { Answered, Call } from '../../src/call.ts'
import { paramsFor } from '../../src/bridge/params.ts'
import { resultFor } from '../../src/bridge/result.ts'
import { Refusal } from '../../src/errors.ts'
import { isAtLeast } from '../../src/protocol/era.ts'
import { isObject } from '../../src/protocol/message.ts'
import { notification } from '../../src/protocol/reply.ts'
import type { Answer } from '../../src/upstreams/answer.ts'
import type { Sink } from '../../src/upstreams/channel.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Gate } from './gate.ts'
import { ownerOf } from './owner.ts'

/** Sends the call to the instance that serves its principal and brings back the answer in the client's era. */
export async function relay (gate: Gate, call: Call): Promise<Answered> {
  const instance = call.instance ?? await instanceOf(gate, call)
  const answer = await ask(instance, call)
  if (instance.era === 'modern' && call.era === 'legacy' && asksBack(answer)) throw new Refusal('PORTCULLIS_NOT_BRIDGEABLE')
  if (answer.kind === 'error') return answer
  if (answer.text.length > gate.config.guards.maxResult) throw tooLarge(answer.text.length, gate.config.guards.maxResult)
  return { kind: 'result', text: resultFor(answer, instance.era, call.era, call.record, call.method), toolError: answer.isError }
}

/** A 2026-07-28 answer that wants something of the client first: input, or a capability (-32021). */
function asksBack (answer: Answer): boolean {
  if (answer.kind === 'error') return answer.code === -32021
  return answer.hasResultType && (JSON.parse(answer.text) as { resultType: unknown }).resultType !== 'complete'
}

/** One request to an upstream on the caller's behalf: its progress and log messages travel back on the call's stream. */
export function ask (instance: Instance, call: Call): Promise<Answer> {
  if (call.givenUp !== undefined) return Promise.reject(call.givenUp)
  return new Promise((resolve, reject) => {
    const id = instance.request(call.method, (minted) => paramsFor(call, instance.era, minted, namesFor(call)), new Caller(call, resolve, reject))
    call.cancel = (refusal) => instance.cancel(id, refusal)
  })
}

/** Who waits for the answer: the call, and what it hears meanwhile. */
class Caller implements Sink {
  readonly #begun = performance.now()
  readonly #call: Call
  readonly #resolve: (answer: Answer) => void
  readonly #reject: (refusal: Refusal) => void

  constructor (call: Call, resolve: (answer: Answer) => void, reject: (refusal: Refusal) => void) {
    this.#call = call
    this.#resolve = resolve
    this.#reject = reject
  }

  get record (): string {
    return this.#call.record
  }

  answer (answer: Answer): void {
    this.#over()
    this.#resolve(answer)
  }

  fail (refusal: Refusal): void {
    this.#over()
    this.#reject(refusal)
  }

  progress (params: Record<string, unknown>): void {
    tellProgress(this.#call, params)
  }

  log (params: Record<string, unknown>): void {
    tellLog(this.#call, params)
  }

  #over (): void {
    this.#call.cancel = undefined
    this.#call.upstreamMs = performance.now() - this.#begun
  }
}

export async function instanceOf (gate: Gate, call: Call): Promise<Instance> {
  const upstream = call.target?.upstream ?? call.arrival.endpoint
  if (upstream === undefined) throw new Refusal('PORTCULLIS_UNKNOWN_METHOD')
  return await gate.supervisor.instance(upstream, ownerOf(call), call.era)
}

/** On the aggregated endpoint the upstream is asked for the name it knows. */
function namesFor (call: Call): Record<string, unknown> {
  const { target, arrival, spec } = call
  if (target === undefined || arrival.endpoint !== undefined || target.kind === 'resource') return {}
  if (spec?.target !== undefined) return { name: target.name }
  const ref = call.params['ref']
  return isObject(ref) ? { ref: { ...ref, name: target.name } } : {}
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

function tooLarge (size: number, max: number): Refusal {
  return new Refusal('PORTCULLIS_RESULT_TOO_LARGE', { message: `The result has ${size} bytes; at most ${max} are passed on. Ask for less.`, data: { size, max } })
}
