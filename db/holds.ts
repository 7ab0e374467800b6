import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

type Db = Kysely<Schema>

/** Records that must not go, for as long as it is not lifted. What is not given matches everything. */
export interface NewHold {
  readonly reason: string
  /** Name or id of the principal. */
  readonly principal?: string | undefined
  readonly upstream?: string | undefined
  readonly since?: Date | undefined
  readonly until?: Date | undefined
}

export interface Hold {
  readonly id: string
  readonly reason: string
  readonly principal: string | null
  readonly upstream: string | null
  readonly since: Date | null
  readonly until: Date | null
  readonly madeAt: Date
  readonly madeBy: string
  readonly liftedAt: Date | null
  readonly liftedBy: string | null
}

/** Returns the number of the hold. */
export async function addHold (db: Db, { reason, principal, upstream, since, until }: NewHold, by: string): Promise<string> {
  const { rows } = await sql<{ id: string }>`
    select ledger.add_hold(${reason}, ${principal ?? null}, ${upstream ?? null}, ${since ?? null}::timestamptz, ${until ?? null}::timestamptz, ${by}) as id`.execute(db)
  return String(rows[0]?.id)
}

/** Every hold there ever was, oldest first. */
export async function listHolds (db: Db): Promise<Hold[]> {
  const { rows } = await sql<Hold>`
    select hold_id::text as id, reason, principal, upstream, since, until, made_at as "madeAt", made_by as "madeBy", lifted_at as "liftedAt", lifted_by as "liftedBy"
    from ledger.hold order by hold_id`.execute(db)
  return rows
}

/** Takes the owner of the ledger. */
export async function liftHold (db: Db, id: string, by: string): Promise<void> {
  await sql`update ledger.hold set lifted_at = now(), lifted_by = ${by} where hold_id = ${id} and lifted_at is null`.execute(db)
}
