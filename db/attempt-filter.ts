import { sql, type RawBuilder, type SqlBool } from 'kysely'

import type { Position } from './events.ts'

export interface AttemptFilter {
  readonly principalId?: string | undefined
  /** Name or id of the principal. */
  readonly user?: string | undefined
  readonly upstream?: string | undefined
  readonly tool?: string | undefined
  readonly kind?: string | undefined
  readonly outcome?: string | undefined
  readonly decision?: string | undefined
  readonly code?: string | undefined
  /** As it stands in the JSON text of the arguments, in any case, from the beginning of a word on. */
  readonly text?: string | undefined
  readonly since?: Date | undefined
  readonly until?: Date | undefined
  /** Only older ones. */
  readonly before?: Position | undefined
}

/** What is to hold of a row `a` of ledger.attempt. */
export function conditionsOf ({ before, ...filter }: AttemptFilter): RawBuilder<SqlBool>[] {
  const all = [sql<SqlBool>`true`]
  if (filter.user !== undefined) all.push(sql`(a.principal = ${filter.user} or a.principal_id = ${filter.user})`)
  if (filter.principalId !== undefined) all.push(sql`a.principal_id = ${filter.principalId}`)
  for (const column of ['upstream', 'tool', 'kind', 'outcome', 'decision', 'code'] as const) {
    if (filter[column] !== undefined) all.push(sql`${sql.ref(`a.${column}`)} = ${filter[column]}`)
  }
  if (filter.text !== undefined) all.push(sql`strpos(lower(a.arguments_text), lower(${filter.text})) > 0`, sql`(ledger.wanted(${filter.text}) is null or ledger.words(a.arguments_text) @@ ledger.wanted(${filter.text}))`)
  if (filter.since !== undefined) all.push(sql`a.time >= ${filter.since}`)
  if (filter.until !== undefined) all.push(sql`a.time < ${filter.until}`)
  if (before !== undefined) all.push(sql`a.time <= ${before.time} and (a.time, a.chain_id, a.seq) < (${before.time}::timestamptz, ${before.chain_id}::uuid, ${before.seq}::bigint)`)
  return [...all, ...hints(filter)]
}

/** Outcomes that are no rarer than the calls themselves, or that no record says. */
const COMMON = ['ok', 'in_flight', 'unknown']

/**
 * What came of a call stands in another record than the call, and no index of one finds the other. These follow from
 * what was asked and change nothing, but say which records to look at.
 */
function hints ({ outcome, decision, code, since, until }: AttemptFilter): RawBuilder<SqlBool>[] {
  const from = since === undefined ? sql`true` : sql`x.ts >= ${since}`
  // An outcome comes after its call, as late as it likes.
  const to = until === undefined ? sql`true` : sql`(x.ts < ${until} or x.kind in ('outcome', 'recovered'))`
  const among = (what: RawBuilder<unknown>): RawBuilder<SqlBool> => sql`a.record in (select x.record from ledger.event x where ${what} and ${from} and ${to})`
  const all: RawBuilder<SqlBool>[] = []
  if (outcome !== undefined && !COMMON.includes(outcome)) all.push(among(sql`x.outcome = ${outcome} and x.outcome <> 'ok'`))
  if (code !== undefined) all.push(among(sql`x.code = ${code}`))
  // A call that was denied has no record of the kind call.
  if (decision === 'deny') all.push(sql`a.kind <> all ('{call,outcome}'::text[])`)
  return all
}
