import { sql, type Kysely } from 'kysely'

/** The append-only record of everything that was attempted, and the only function that writes it. */
export async function up (db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

/** Column and type of what is extracted from a line; the rest stays in `body`. Same names as in the line. */
const extracted = [
  ['kind', 'text'], ['record', 'text'],
  ['principal_id', 'text'], ['principal', 'text'], ['token_id', 'text'], ['client', 'text'], ['session', 'text'],
  ['source', 'text'], ['era', 'text'], ['method', 'text'], ['upstream', 'text'], ['tool', 'text'],
  ['decision', 'text'], ['rule', 'text'], ['code', 'text'], ['outcome', 'text'],
  ['duration_ms', 'double precision'], ['bytes_in', 'bigint'], ['bytes_out', 'bigint'],
] as const

const names = extracted.map(([name]) => name).join(', ')
const columns = extracted.map(([name, type]) => `${name} ${type}`)

const statements = [
  'create schema ledger',

  // One chain a process start, so that a spool that was copied or restored never forks one.
  `create table ledger.chain (
    chain_id uuid primary key,
    node text not null,
    opened_at timestamptz not null,
    closed_at timestamptz,
    last_seq bigint not null default 0,
    last_ts timestamptz,
    gaps json not null default '[]'
  )`,

  // json, not jsonb: the very bytes are kept. The partition key has to be part of the primary key; that (chain_id, seq)
  // alone is unique comes from the fence in ledger.ingest.
  `create table ledger.event (
    chain_id uuid not null,
    seq bigint not null,
    ts timestamptz not null,
    ${columns.join(',\n    ')},
    body json not null,
    hash bytea check (octet_length(hash) = 32),
    primary key (chain_id, seq, ts)
  ) partition by range (ts)`,
  'alter table ledger.event alter column kind set not null, alter column record set not null',
  'create index event_ts on ledger.event using brin (ts) with (pages_per_range = 32)',
  'create index event_principal on ledger.event (principal_id, ts)',
  'create index event_tool on ledger.event (upstream, tool, ts)',
  'create index event_record on ledger.event (record)',

  `create function ledger.refuse_change() returns trigger language plpgsql as $$
  begin
    raise exception 'the ledger is append-only: % on %.% is refused', tg_op, tg_table_schema, tg_table_name using errcode = 'insufficient_privilege';
  end $$`,
  'create trigger refuse_change before update or delete on ledger.event for each row execute function ledger.refuse_change()',
  'create trigger refuse_truncate before truncate on ledger.event for each statement execute function ledger.refuse_change()',
  'create table ledger.event_default partition of ledger.event default',
  // Truncate triggers are not inherited by partitions.
  'create trigger refuse_truncate before truncate on ledger.event_default for each statement execute function ledger.refuse_change()',

  `create function ledger.refuse_rewind() returns trigger language plpgsql as $$
  begin
    if tg_op = 'UPDATE' and new.chain_id = old.chain_id and new.node = old.node and new.opened_at = old.opened_at and new.last_seq >= old.last_seq then
      return new;
    end if;
    raise exception 'the head of a chain only moves forward: % on ledger.chain is refused', tg_op using errcode = 'insufficient_privilege';
  end $$`,
  'create trigger refuse_rewind before update or delete on ledger.chain for each row execute function ledger.refuse_rewind()',
  'create trigger refuse_truncate before truncate on ledger.chain for each statement execute function ledger.refuse_change()',

  // A month that cannot be made (rows of it lie in the default partition, or a long query holds a lock) is no reason to
  // refuse a record: those rows go to the default partition.
  `create function ledger.ensure_month(at timestamptz) returns boolean language plpgsql security definer
    set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
  declare
    start timestamp := date_trunc('month', at at time zone 'UTC');
    name text := 'event_' || to_char(start, 'YYYY_MM');
  begin
    if to_regclass('ledger.' || name) is not null then return true; end if;
    perform pg_advisory_xact_lock(hashtext('ledger.ensure_month'));
    if to_regclass('ledger.' || name) is not null then return true; end if;
    execute format('create table ledger.%I partition of ledger.event for values from (%L) to (%L)',
      name, start at time zone 'UTC', (start + interval '1 month') at time zone 'UTC');
    execute format('create trigger refuse_truncate before truncate on ledger.%I for each statement execute function ledger.refuse_change()', name);
    return true;
  exception
    -- Another session made it; an advisory lock does not refresh what this one knows of the catalog.
    when duplicate_table then return true;
    when check_violation or lock_not_available then return false;
  end $$`,

  `create function ledger.open_chain(chain uuid, node text, opened timestamptz) returns bigint language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
  declare
    head bigint;
  begin
    insert into ledger.chain (chain_id, node, opened_at) values (chain, node, opened) on conflict (chain_id) do nothing;
    select c.last_seq into head from ledger.chain c where c.chain_id = chain;
    return head;
  end $$`,

  // The only way in. One transaction: lock the chain, compare its head with where the batch starts (the fence), insert,
  // move the head. A batch that does not start right behind the head changes nothing, so sending it twice is harmless;
  // the head that is returned tells the sender where to go on.
  `create function ledger.ingest(chain uuid, first_seq bigint, lines text) returns bigint language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
  declare
    head bigint;
    earliest timestamptz;
    added bigint;
  begin
    select c.last_seq into head from ledger.chain c where c.chain_id = chain for update;
    if not found then raise exception 'chain % was never opened', chain using errcode = 'foreign_key_violation'; end if;
    if first_seq <> head + 1 or lines = '' then return head; end if;
    earliest := (split_part(lines, E'\\n', 1)::json ->> 'ts')::timestamptz;
    if to_regclass('ledger.event_' || to_char(earliest at time zone 'UTC', 'YYYY_MM')) is null then perform ledger.ensure_month(earliest); end if;
    insert into ledger.event (chain_id, seq, ts, ${names}, body)
      select chain, head + line.number, r.ts, ${extracted.map(([name]) => `r.${name}`).join(', ')}, line.body::json
      from string_to_table(rtrim(lines, E'\\n'), E'\\n') with ordinality as line(body, number),
        json_to_record(line.body::json) as r(ts timestamptz, ${columns.join(', ')});
    get diagnostics added = row_count;
    update ledger.chain c set last_seq = head + added, last_ts = earliest where c.chain_id = chain;
    return head + added;
  end $$`,

  // For the case that the database was set back to an older backup: what it lost cannot be sent again, and this is
  // written down rather than hidden.
  `create function ledger.note_gap(chain uuid, first_seq bigint) returns bigint language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
  declare
    head bigint;
  begin
    select c.last_seq into head from ledger.chain c where c.chain_id = chain for update;
    if first_seq <= head + 1 then return head; end if;
    update ledger.chain c set last_seq = first_seq - 1,
      gaps = (c.gaps::jsonb || jsonb_build_object('after', head, 'before', first_seq, 'noted_at', now()))::json where c.chain_id = chain;
    return first_seq - 1;
  end $$`,

  `create function ledger.close_chain(chain uuid) returns void language sql security definer
    set search_path = pg_catalog, pg_temp as $$
    update ledger.chain c set closed_at = now() where c.chain_id = chain and c.closed_at is null
  $$`,

  'revoke all on all functions in schema ledger from public',

  // One row an attempt. What came of a call stands in a later record of the same id.
  `create view ledger.attempt as
    select e.ts as time, e.record, e.kind, e.principal_id, e.principal, e.token_id as token, e.client, e.session,
      e.body ->> 'trace' as trace, e.source, e.era, e.method, e.upstream, e.tool, e.body -> 'args' as arguments, e.body ->> 'digest' as digest,
      e.decision, e.rule,
      case when e.kind <> 'call' then e.outcome when o.kind = 'outcome' then o.outcome
        when o.kind is null and c.closed_at is null and e.ts > now() - interval '1 day' then 'in_flight' else 'unknown' end as outcome,
      coalesce(o.code, e.code) as code, coalesce(o.duration_ms, e.duration_ms) as duration_ms,
      coalesce(e.bytes_in, o.bytes_in) as bytes_in, coalesce(o.bytes_out, e.bytes_out) as bytes_out,
      e.body ->> 'policy' as policy, coalesce(o.body -> 'detail', e.body -> 'detail') as detail, e.chain_id, e.seq
    from ledger.event e
    left join ledger.chain c on c.chain_id = e.chain_id
    left join lateral (
      select x.kind, x.outcome, x.code, x.duration_ms, x.bytes_in, x.bytes_out, x.body from ledger.event x
      where e.kind = 'call' and x.record = e.record and x.kind in ('outcome', 'recovered') and x.ts >= e.ts
      order by x.kind limit 1
    ) o on true
    where e.kind not in ('outcome', 'recovered')`,
]
