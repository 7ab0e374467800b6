import { findClientGrants } from '../../db/grants.ts'
import { deleteClient, findClient } from '../../db/oauth-clients.ts'
import { pageClients } from '../../db/pages.ts'
import { endGrant } from '../../db/refresh-tokens.ts'
import { Refusal } from '../errors.ts'
import type { Audit } from './audit.ts'
import { deniedUntil } from './issue.ts'
import { removeMachineClient } from './machine-clients.ts'
import { cutPage, timePlace } from './page.ts'
import type { Page, PageRequest } from './page.ts'
import type { Store } from './store.ts'
import type { By } from './users.ts'

export interface ListedClient {
  readonly id: string
  readonly name: string | null
  /** `machine` acts by itself; `registered` acts for the people who let it in. */
  readonly kind: 'machine' | 'registered'
  readonly createdAt: string
  readonly lastUsedAt: string | null
}

/** Newest first. */
export async function listClientPage (db: Store, { limit, after }: PageRequest): Promise<Page<ListedClient>> {
  const rows = await pageClients(db, limit + 1, timePlace(after))
  return cutPage(rows, limit, ({ time, id }) => [time, id], ({ id, name, source, createdAt, lastUsedAt }) => ({
    id,
    name,
    kind: source === 'admin' ? 'machine' : 'registered',
    createdAt: createdAt.toISOString(),
    lastUsedAt: lastUsedAt?.toISOString() ?? null,
  }))
}

/**
 * Forgets a client and ends every grant it has; of one that is named by a document there are only grants. Returns the users
 * whose grants ended. Refuses (404) what nobody registered or let in.
 */
export async function revokeClient ({ db, audit, now }: { readonly db: Store, readonly audit: Audit, readonly now: () => number }, id: string, { principal, source }: Required<By>): Promise<readonly string[]> {
  if (id.includes('\0')) throw nobody() // PostgreSQL takes no such text, not even to look for it
  const client = await findClient(db, id)
  const grants = await findClientGrants(db, id, new Date(now()))
  if (client === undefined && grants.length === 0) throw nobody()
  if (client?.source === 'admin') {
    await removeMachineClient({ db, audit }, id, { principal, source })
    return client.userId === null ? [] : [client.userId]
  }
  audit({ kind: 'token', principal, source, outcome: 'ok', detail: { action: 'revoke client', client: id, before: { name: client?.metadata['client_name'], grants: grants.length }, after: null } })
  // First the client, so that nobody is let in with it meanwhile.
  await deleteClient(db, id)
  for (const { grantId, userId } of grants) await endGrant(db, grantId, userId, deniedUntil(now()))
  return [...new Set(grants.map(({ userId }) => userId))]
}

function nobody (): Refusal {
  return new Refusal('PORTCULLIS_NOT_FOUND', { message: 'There is no client with this id. List them with GET /admin/api/clients.' })
}
