import { Refusal } from '../../src/errors.ts'
import type { Step } from './gate.ts'
import { nameOf } from './resolve.ts'

/** authorize: only what a rule allows. What is denied and what does not exist get the same answer. */
export function authorize (): Step {
  return (call) => {
    if (call.decision?.allowed === true) return
    const named = nameOf(call)
    if (named === undefined) return
    throw unknownTarget(named.kind, named.name, call.decision?.rule ?? 'unknown')
  }
}

/** The one answer for what may not be called and what is not there. `rule` is for the record only. */
export function unknownTarget (kind: string, name: string, rule: string): Refusal {
  return new Refusal('PORTCULLIS_UNKNOWN_TARGET', { message: `Unknown ${kind}: ${name.slice(0, 128)}`, rule })
}
