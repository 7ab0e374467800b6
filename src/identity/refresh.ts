import { consumeRefresh, endGrant, revokeGrant, withRefresh } from '../../db/refresh-tokens.ts'
import type { RefreshRow } from '../../db/refresh-tokens.ts'
import { findById } from '../../db/users.ts'
import type { LoginRow } from '../../db/users.ts'
import { Refusal } from '../errors.ts'
import type { Audit } from './audit.ts'
import type { Claims } from './claims.ts'
import { deniedUntil, issuePair, issueRefresh, refreshId } from './issue.ts'
import type { IssueDeps, TokenPair } from './issue.ts'
import { reach } from './store.ts'
import type { Store } from './store.ts'

export interface RefreshDeps extends IssueDeps {
  readonly db: Store
  readonly audit: Audit
  /** Something about this user changed: this process must not wait for the notification. */
  readonly changed: (userId: string) => void
}

/** Clients that run several processes refresh with one token at the same moment; for this long that is no theft. Milliseconds. */
const GRACE = 30_000

type Outcome =
  | { readonly kind: 'renewed', readonly grant: RefreshRow, readonly token: string }
  | { readonly kind: 'reused', readonly user: LoginRow }
  | { readonly kind: 'dead' }

/**
 * A refresh token → a new pair; the old token is used up. When a used one comes back after the grace, somebody has a
 * copy: the whole login ends at once (RFC 9700 section 4.14.2). Refuses (401) with one text for every reason.
 */
export async function refresh (deps: RefreshDeps, token: string, source: string): Promise<TokenPair> {
  const outcome = await reach(async () => await redeem(deps, token))
  if (outcome.kind === 'renewed') return issuePair(deps, outcome.grant, outcome.token, 'refresh_token')
  const record = outcome.kind === 'reused' ? noteReuse(deps, outcome.user, source) : undefined
  throw new Refusal('PORTCULLIS_INVALID_TOKEN', {
    message: 'The refresh token is not valid any more. Log in again with POST /auth/login.',
    ...(typeof record === 'string' && { data: { record } }),
  })
}

function noteReuse ({ changed, audit }: RefreshDeps, user: LoginRow, source: string): string | void {
  changed(user.id)
  return audit({ kind: 'token', principal: { id: user.id, name: user.username }, source, outcome: 'reused', code: 'PORTCULLIS_INVALID_TOKEN', detail: { action: 'refresh' } })
}

async function redeem ({ db, now }: RefreshDeps, token: string): Promise<Outcome> {
  const id = refreshId(token)
  return await withRefresh(db, id, async (trx, row): Promise<Outcome> => {
    const time = now()
    if (row === undefined || row.expiresAt.getTime() <= time) return { kind: 'dead' }
    const user = await findById(trx, row.userId)
    if (user === undefined || user.disabled || user.tokenVersion !== row.tokenVersion) return { kind: 'dead' }
    if (row.consumedAt !== null && time - row.consumedAt.getTime() > GRACE) {
      await revokeGrant(trx, row.gid, row.userId, deniedUntil(time))
      return { kind: 'reused', user }
    }
    await consumeRefresh(trx, id, new Date(time))
    return { kind: 'renewed', grant: row, token: await issueRefresh(trx, row, time) }
  })
}

/** Ends the login that an access token came of: its refresh tokens are gone, its access tokens are refused everywhere. */
export async function endLogin (deps: RefreshDeps, claims: Claims, name: string, source: string): Promise<void> {
  await reach(async () => await endGrant(deps.db, claims.gid, claims.sub, deniedUntil(deps.now())))
  deps.changed(claims.sub)
  deps.audit({ kind: 'logout', principal: { id: claims.sub, name }, source, outcome: 'ok' })
}
