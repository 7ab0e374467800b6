import type { Principal } from '../../src/call.ts'
import type { Policy } from '../../src/policy/policy.ts'

/** May this principal read that resource there? Decided as the call that reads or subscribes to it is: without arguments. */
export function mayRead (policy: Policy, principal: Principal, upstream: string, uri: string): boolean {
  return policy.decide(principal, { kind: 'resource', upstream, name: uri }, undefined).allowed
}
