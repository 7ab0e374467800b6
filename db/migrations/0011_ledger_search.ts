import { sql, type Kysely } from 'kysely'

/**
 * Indexes for what is rare, and for who and what without the half of the records that only say what came of a call.
 * They are made at once in partitions that are small, and in those that will be made; to build them over many millions
 * of records would hold up every call, so db/ledger-indexes.ts does that beside the gateway.
 */
export async function up (db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

/** An attempt is every record but those that conclude one: as the view ledger.attempt has it. */
const attempts = "where kind <> all ('{outcome,recovered}'::text[])"

/** Bytes of a partition over which an index is made in a moment. */
const SMALL = 64 * 1024 * 1024

const statements = [
  // Words are runs of letters and digits: a path or an address is found by each of its parts.
  `create function ledger.words(arguments text) returns tsvector language sql immutable strict parallel safe cost 1000
    set search_path = pg_catalog, pg_temp
    return to_tsvector('simple', regexp_replace(left(arguments, 100000), '[^[:alnum:]]+', ' ', 'g'))`,
  // All of these words, the last of which may be only the beginning of one; null when there is no word.
  `create function ledger.wanted(words text) returns tsquery language sql immutable strict parallel safe
    set search_path = pg_catalog, pg_temp
    return (nullif(plainto_tsquery('simple', regexp_replace(words, '[^[:alnum:]]+', ' ', 'g'))::text, '') || ':*')::tsquery`,

  // As before, and the very text of the arguments.
  `create or replace view ledger.attempt as
    select e.ts as time, e.record, e.kind, e.principal_id, e.principal, e.token_id as token, e.client, e.session,
      e.body ->> 'trace' as trace, e.source, e.era, e.method, e.upstream, e.tool, e.body -> 'args' as arguments, e.body ->> 'digest' as digest,
      e.decision, e.rule,
      case when e.kind <> 'call' and (e.kind <> 'egress' or e.outcome is not null) then e.outcome when o.kind = 'outcome' then o.outcome
        when o.kind is null and c.closed_at is null and (e.kind = 'egress' or e.ts > now() - interval '1 day') then 'in_flight' else 'unknown' end as outcome,
      coalesce(o.code, e.code) as code, coalesce(o.duration_ms, e.duration_ms) as duration_ms,
      coalesce(e.bytes_in, o.bytes_in) as bytes_in, coalesce(o.bytes_out, e.bytes_out) as bytes_out,
      e.body ->> 'policy' as policy, coalesce(o.body -> 'detail', e.body -> 'detail') as detail, e.chain_id, e.seq, e.body ->> 'args' as arguments_text
    from ledger.event e
    left join ledger.chain c on c.chain_id = e.chain_id
    left join lateral (
      select x.kind, x.outcome, x.code, x.duration_ms, x.bytes_in, x.bytes_out, x.body from ledger.event x
      where e.kind in ('call', 'egress') and x.record = e.record and x.kind in ('outcome', 'recovered') and x.ts >= e.ts
      order by x.kind limit 1
    ) o on true
    where e.kind not in ('outcome', 'recovered')`,

  `create index event_name on only ledger.event (principal, ts) ${attempts}`,
  `create index event_person on only ledger.event (principal_id, ts) ${attempts}`,
  `create index event_target on only ledger.event (upstream, tool, ts) ${attempts}`,
  "create index event_outcome on only ledger.event (outcome, ts) where outcome <> 'ok'",
  "create index event_kind on only ledger.event (kind, ts) where kind <> all ('{call,outcome}'::text[])",
  'create index event_code on only ledger.event (code, ts) where code is not null',

  `do $$
  declare
    part record;
    made text;
    whole boolean := true;
  begin
    for part in select c.oid::regclass as "table", c.relname, pg_table_size(c.oid) as bytes from pg_inherits h join pg_class c on c.oid = h.inhrelid where h.inhparent = 'ledger.event'::regclass loop
      if part.bytes > ${SMALL} then
        whole := false;
        continue;
      end if;
      for made in select unnest('{event_name,event_person,event_target,event_outcome,event_kind,event_code}'::text[]) loop
        execute replace(pg_get_indexdef(('ledger.' || made)::regclass), made || ' ON ONLY ledger.event ', format('%I ON %s ', part.relname || substr(made, 6), part."table"));
        execute format('alter index ledger.%I attach partition ledger.%I', made, part.relname || substr(made, 6));
      end loop;
    end loop;
    if whole then drop index ledger.event_principal, ledger.event_tool; end if;
  end $$`,

  'revoke all on all functions in schema ledger from public',
]
