import type { Attempt } from '../../db/events.ts'
import { version } from '../version.ts'

interface Class { readonly category: number, readonly id: number, readonly activity: number }

/** OCSF 1.3: API Activity, Authentication, Account Change, Application Lifecycle. Activity 99 is "other". */
const api: Class = { category: 6, id: 6003, activity: 99 }
const classes: Readonly<Partial<Record<string, Class>>> = {
  login: { category: 3, id: 3002, activity: 1 },
  logout: { category: 3, id: 3002, activity: 2 },
  user: { category: 3, id: 3001, activity: 99 },
  token: { category: 3, id: 3001, activity: 99 },
  gateway: { category: 6, id: 6002, activity: 99 },
}

/** One attempt as an event of the Open Cybersecurity Schema Framework. */
export function ocsf (attempt: Attempt): object {
  const { category, id, activity } = classes[attempt.kind] ?? api
  const failed = attempt.outcome !== 'ok' && attempt.outcome !== 'in_flight' && attempt.outcome !== null
  return {
    category_uid: category,
    class_uid: id,
    activity_id: activity,
    type_uid: id * 100 + activity,
    time: attempt.time.getTime(),
    severity_id: attempt.outcome === 'refused' ? 3 : failed ? 2 : 1,
    status_id: failed ? 2 : 1,
    status: attempt.outcome,
    ...(attempt.code !== null && { status_code: attempt.code }),
    ...(attempt.duration_ms !== null && { duration: Math.round(attempt.duration_ms) }),
    ...(attempt.decision !== null && { action_id: attempt.decision === 'allow' ? 1 : 2 }),
    metadata: { version: '1.3.0', uid: attempt.record, product: { name: 'Portcullis', vendor_name: 'Portcullis', version } },
    actor: { user: { name: attempt.principal, uid: attempt.principal_id }, session: { uid: attempt.session }, app_name: attempt.client },
    ...(id === 3002 || id === 3001 ? { user: { name: attempt.principal, uid: attempt.principal_id } } : {}),
    src_endpoint: { ip: attempt.source },
    api: { operation: attempt.tool ?? attempt.method, service: { name: attempt.upstream }, request: { uid: attempt.record } },
    unmapped: { kind: attempt.kind, method: attempt.method, rule: attempt.rule, policy: attempt.policy, digest: attempt.digest, arguments: attempt.arguments, detail: attempt.detail, trace: attempt.trace, chain: attempt.chain_id, seq: attempt.seq },
  }
}
