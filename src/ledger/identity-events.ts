import type { Audit, IdentityEvent } from '../identity/audit.ts'
import type { Entry } from './entry.ts'
import type { Ledger } from './ledger.ts'

const outcomes: Readonly<Record<IdentityEvent['outcome'], NonNullable<Entry['outcome']>>> = { ok: 'ok', failed: 'refused', limited: 'refused', reused: 'refused' }

/**
 * Puts what happens to users and credentials on the record, before it takes effect: an append that is refused refuses
 * the deed too. `onEvent` hears of it as well.
 */
export function auditIdentity (ledger: Pick<Ledger, 'append' | 'newRecord'>, onEvent: (event: IdentityEvent) => void = () => {}): Audit {
  return (event) => {
    const { kind, principal, source, outcome, code, detail } = event
    const record = ledger.newRecord()
    ledger.append({ kind, record, principal, source, outcome: outcomes[outcome], decision: outcome === 'ok' ? 'allow' : 'deny', code, detail: outcome === 'reused' ? { ...detail, reused: true } : detail })
    onEvent(event)
    return record
  }
}
