import type { Call, Target } from '../../src/call.ts'
import type { Gate, Step } from './gate.ts'
import { ownerOf } from './owner.ts'

/**
 * What all names that cannot be called share one count under: a name that is denied and one that does not exist must
 * not be told apart by their counters, and invented names must not fill the memory.
 */
const uncallable = '?'

/** throttle: counts the call against every limit that applies to it; the first that is used up refuses. */
export function throttle ({ limits, catalog, supervisor }: Pick<Gate, 'limits' | 'catalog' | 'supervisor'>): Step {
  return (call) => {
    if (call.spec?.limited !== true) return
    const { target } = call
    if (target === undefined || call.decision?.allowed !== true) return count(call, undefined)
    if (catalog.isListed(call, target)) return count(call, target)
    return call.instance === undefined ? startThenCount(call, target) : count(call, undefined)
  }

  function count (call: Call, callable: Target | undefined): void | Promise<void> {
    const counted = limits.check({
      principal: call.principal,
      address: call.arrival.source,
      kind: call.spec?.target?.kind ?? 'tool',
      upstream: callable?.upstream ?? uncallable,
      tool: callable?.name ?? uncallable,
    })
    if (counted instanceof Promise) return counted.then((state) => { call.limit = state })
    call.limit = counted
  }

  /**
   * The call is the first for an upstream that is not up, or names what that one never listed. A limit on the tool must
   * not miss it, so the upstream is started first, as the call would have it anyway; one that does not start has no tools.
   */
  async function startThenCount (call: Call, target: Target): Promise<void> {
    let failure: unknown
    try {
      call.instance = await supervisor.instance(target.upstream, ownerOf(call), call.era)
    } catch (error) {
      failure = error
    }
    await count(call, catalog.isListed(call, target) ? target : undefined)
    if (failure !== undefined) throw failure
  }
}
