import { sql, type Kysely } from 'kysely'

/** What may leave the ledger: whole months, signed for and not held. Only the owner of the tables can take them out. */
export async function up (db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  // What is null matches everything.
  `create table ledger.hold (
    hold_id bigint generated always as identity primary key,
    reason text not null,
    principal text,
    upstream text,
    since timestamptz,
    until timestamptz,
    made_at timestamptz not null default now(),
    made_by text not null,
    lifted_at timestamptz,
    lifted_by text
  )`,

  // Whoever may add to the ledger may also keep it; to lift a hold takes the owner.
  `create function ledger.add_hold(reason text, principal text, upstream text, since timestamptz, until timestamptz, made_by text) returns bigint language sql security definer
    set search_path = pg_catalog, pg_temp as $$
    insert into ledger.hold (reason, principal, upstream, since, until, made_by) values (reason, principal, upstream, since, until, made_by) returning hold_id
  $$`,

  `create function ledger.hold_on(part text) returns bigint language plpgsql stable
    set search_path = pg_catalog, pg_temp as $$
  declare
    found bigint;
  begin
    execute format('select min(h.hold_id) from ledger.hold h where h.lifted_at is null and exists (select from ledger.%I e
      where (h.principal is null or e.principal = h.principal or e.principal_id = h.principal) and (h.upstream is null or e.upstream = h.upstream)
        and (h.since is null or e.ts >= h.since) and (h.until is null or e.ts < h.until))', part) into found;
    return found;
  end $$`,

  // Signatures over records that retention took say nothing any more, but for the one that it left.
  `create function ledger.refuse_change_of_checkpoint() returns trigger language plpgsql as $$
  begin
    if tg_op = 'DELETE' and old.seq < (select c.pruned_seq from ledger.chain c where c.chain_id = old.chain_id) then return old; end if;
    raise exception 'the ledger is append-only: % on ledger.checkpoint is refused', tg_op using errcode = 'insufficient_privilege';
  end $$`,
  'drop trigger refuse_change on ledger.checkpoint',
  'create trigger refuse_change before update or delete on ledger.checkpoint for each row execute function ledger.refuse_change_of_checkpoint()',

  // Drops one partition, all of it or nothing: not while a hold matches a record of it, and only when every chain in it
  // goes on from the signed head at which these records end. `whole` false is for records that are damaged already.
  `create function ledger.drop_part(part text, whole boolean) returns void language plpgsql
    set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
  declare
    held bigint;
    gone record;
    chain ledger.chain;
    link bytea;
  begin
    perform pg_advisory_xact_lock(hashtext('ledger.drop_part'));
    if not exists (select from pg_inherits where inhparent = 'ledger.event'::regclass and inhrelid = to_regclass('ledger.' || quote_ident(part))) then
      raise exception 'the ledger has no partition %', part using errcode = 'LG002';
    end if;
    held := ledger.hold_on(part);
    if held is not null then raise exception '% is kept by hold %', part, held using errcode = 'LG002'; end if;
    for gone in execute format('select chain_id, min(seq) as first, max(seq) as last, count(*) as rows from ledger.%I group by chain_id', part) loop
      select * into chain from ledger.chain c where c.chain_id = gone.chain_id for update;
      continue when not found and not whole;
      if whole and (gone.first <> chain.pruned_seq + 1 or gone.rows <> gone.last - gone.first + 1) then
        raise exception 'the records of chain % in % are not the next ones to go', gone.chain_id, part using errcode = 'LG002';
      end if;
      execute format('select hash from ledger.%I where chain_id = $1 and seq = $2', part) into link using gone.chain_id, gone.last;
      if not exists (select from ledger.checkpoint k where k.chain_id = gone.chain_id and k.seq = gone.last
          and k.statement::json ->> 'reason' = 'retention' and k.statement::json ->> 'hash' = encode(link, 'hex')) then
        raise exception 'no signature for retention covers record % of chain %', gone.last, gone.chain_id using errcode = 'LG002';
      end if;
      update ledger.chain c set pruned_seq = gone.last, pruned_hash = link where c.chain_id = gone.chain_id;
      delete from ledger.checkpoint k where k.chain_id = gone.chain_id and k.seq < gone.last;
    end loop;
    execute format('drop table ledger.%I', part);
    if part = 'event_default' then
      create table ledger.event_default partition of ledger.event default;
      create trigger refuse_truncate before truncate on ledger.event_default for each statement execute function ledger.refuse_change();
    end if;
  end $$`,

  'revoke all on all functions in schema ledger from public',
]
