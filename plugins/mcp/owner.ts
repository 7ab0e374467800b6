import type { Call } from '../../src/call.ts'
import type { Owner } from '../../src/upstreams/seat.ts'

/** On whose behalf an upstream instance works for this call. */
export function ownerOf (call: Call): Owner {
  return { user: call.principal, session: call.session?.id }
}
