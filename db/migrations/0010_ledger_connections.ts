import { sql, type Kysely } from 'kysely'

/** What came of a connection stands in a later record, as with a call: how it ended, how long it was open, how much went each way. */
export async function up (db: Kysely<unknown>): Promise<void> {
  await sql.raw(attempt).execute(db)
}

const attempt = `create or replace view ledger.attempt as
  select e.ts as time, e.record, e.kind, e.principal_id, e.principal, e.token_id as token, e.client, e.session,
    e.body ->> 'trace' as trace, e.source, e.era, e.method, e.upstream, e.tool, e.body -> 'args' as arguments, e.body ->> 'digest' as digest,
    e.decision, e.rule,
    case when e.kind <> 'call' and (e.kind <> 'egress' or e.outcome is not null) then e.outcome when o.kind = 'outcome' then o.outcome
      when o.kind is null and c.closed_at is null and (e.kind = 'egress' or e.ts > now() - interval '1 day') then 'in_flight' else 'unknown' end as outcome,
    coalesce(o.code, e.code) as code, coalesce(o.duration_ms, e.duration_ms) as duration_ms,
    coalesce(e.bytes_in, o.bytes_in) as bytes_in, coalesce(o.bytes_out, e.bytes_out) as bytes_out,
    e.body ->> 'policy' as policy, coalesce(o.body -> 'detail', e.body -> 'detail') as detail, e.chain_id, e.seq
  from ledger.event e
  left join ledger.chain c on c.chain_id = e.chain_id
  left join lateral (
    select x.kind, x.outcome, x.code, x.duration_ms, x.bytes_in, x.bytes_out, x.body from ledger.event x
    where e.kind in ('call', 'egress') and x.record = e.record and x.kind in ('outcome', 'recovered') and x.ts >= e.ts
    order by x.kind limit 1
  ) o on true
  where e.kind not in ('outcome', 'recovered')`
