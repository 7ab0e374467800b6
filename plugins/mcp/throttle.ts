import type { Gate, Step } from './gate.ts'

/**
 * What all names that cannot be called share one count under: a name that is denied and one that does not exist must
 * not be told apart by their counters, and invented names must not fill the memory.
 */
const uncallable = '?'

/** throttle: counts the call against every limit that applies to it; the first that is used up refuses. */
export function throttle ({ limits, catalog }: Pick<Gate, 'limits' | 'catalog'>): Step {
  return (call) => {
    if (call.spec?.limited !== true) return
    const { target } = call
    const callable = target !== undefined && call.decision?.allowed === true && catalog.mayExist(call, target)
    const counted = limits.check({
      principal: call.principal,
      address: call.arrival.source,
      kind: call.spec.target?.kind ?? 'tool',
      upstream: callable ? target.upstream : uncallable,
      tool: callable ? target.name : uncallable,
    })
    if (counted instanceof Promise) return counted.then((state) => { call.limit = state })
    call.limit = counted
  }
}
