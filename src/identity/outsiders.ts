import { createHash } from 'node:crypto'

import { admitOutsider } from '../../db/user-identities.ts'
import type { KnownOutsider, Outsider } from '../../db/user-identities.ts'
import type { Audit } from './audit.ts'
import { reach } from './store.ts'
import type { Store } from './store.ts'

/** Somebody whom another issuer vouches for. Issuer and subject say who it is; nothing else does. */
export interface Vouched extends Outsider {
  /** What the configuration calls the issuer. */
  readonly via: string
  /** What they would like to be called. */
  readonly name: string
  /** What their groups give; nobody without is let in. */
  readonly roles: readonly string[]
}

export interface OutsiderDeps {
  readonly db: Store
  readonly audit: Audit
  readonly now: () => number
}

/**
 * The user who this is: made when they come for the first time and have a role. A user of the same name who is somebody
 * else is left alone: the newcomer gets a name with the issuer's behind it. With `keep`, the roles stay with the user
 * until the next time, in the place of those of the last. Undefined: nobody is let in.
 */
export async function admit ({ db, audit, now }: OutsiderDeps, vouched: Vouched, { keep, source }: { readonly keep: boolean, readonly source?: string }): Promise<KnownOutsider | undefined> {
  const { roles } = vouched
  return await reach(async () => await admitOutsider(db, vouched, {
    names: namesFor(vouched),
    roles,
    ...(keep && { origin: `idp:${vouched.via}` }),
    note: ({ user, before }) => {
      const action = before === null ? 'add' : 'role'
      audit({ kind: 'user', principal: { id: user.id, name: user.username }, ...(source !== undefined && { source }), outcome: 'ok', detail: { action, user: user.username, via: vouched.via, before: before === null ? null : { roles: before }, after: { roles } } })
    },
  }, new Date(now())))
}

/** Names to try, best first. */
function namesFor ({ name, via, issuer, subject }: Vouched): string[] {
  const mark = createHash('sha256').update(`${issuer} ${subject}`).digest('hex').slice(0, 12)
  return [name, `${name.slice(0, 31)}-${via.replace(/-+$/, '')}`, `${name.slice(0, 50)}-${mark}`]
}
