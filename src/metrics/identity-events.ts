import type { IdentityEvent } from '../identity/audit.ts'
import type { Metrics } from './metrics.ts'

const LOGINS = { ok: 'ok', failed: 'refused', limited: 'locked', reused: 'refused' } as const satisfies Record<IdentityEvent['outcome'], string>

/** Counts what the record of users and credentials tells. */
export function countIdentity (metrics: Pick<Metrics, 'login' | 'registration' | 'tokenReuse' | 'tokenIssued'>): (event: IdentityEvent) => void {
  return ({ kind, outcome, detail }) => {
    if (kind === 'login') metrics.login(LOGINS[outcome])
    if (kind !== 'token') return
    if (outcome === 'reused') metrics.tokenReuse()
    if (detail?.['action'] === 'register client') metrics.registration()
    if (detail?.['action'] === 'create') metrics.tokenIssued('personal')
  }
}
