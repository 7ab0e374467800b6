import { sql, type Kysely } from 'kysely'

/** Hashes that chain the records, and checkpoints that sign the chains' heads. */
export async function up (db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

/** Column and type of what is extracted from a line. */
const extracted = [
  ['kind', 'text'], ['record', 'text'],
  ['principal_id', 'text'], ['principal', 'text'], ['token_id', 'text'], ['client', 'text'], ['session', 'text'],
  ['source', 'text'], ['era', 'text'], ['method', 'text'], ['upstream', 'text'], ['tool', 'text'],
  ['decision', 'text'], ['rule', 'text'], ['code', 'text'], ['outcome', 'text'],
  ['duration_ms', 'double precision'], ['bytes_in', 'bigint'], ['bytes_out', 'bigint'],
] as const

export const names = extracted.map(([name]) => name).join(', ')
export const columns = extracted.map(([name, type]) => `${name} ${type}`)

const line = 'string_to_table(rtrim(lines, E\'\\n\'), E\'\\n\') with ordinality as line(body, number)'

const statements = [
  // What retention has taken away begins at 1 and ends at pruned_seq; the rest continues from pruned_hash.
  'alter table ledger.chain add last_hash bytea, add pruned_seq bigint not null default 0, add pruned_hash bytea',

  // `statement` is the very text that was signed, with its signature: see src/ledger/checkpoint.ts.
  `create table ledger.checkpoint (
    chain_id uuid not null,
    seq bigint not null,
    made_at timestamptz not null default now(),
    statement text not null,
    primary key (chain_id, seq, statement)
  )`,
  'create trigger refuse_change before update or delete on ledger.checkpoint for each row execute function ledger.refuse_change()',
  'create trigger refuse_truncate before truncate on ledger.checkpoint for each statement execute function ledger.refuse_change()',

  `create function ledger.add_checkpoint(chain uuid, seq bigint, statement text) returns void language sql security definer
    set search_path = pg_catalog, pg_temp as $$
    insert into ledger.checkpoint (chain_id, seq, statement) values (chain, seq, statement) on conflict do nothing
  $$`,

  // The same as genesisOf in src/ledger/hash-chain.ts.
  `create function ledger.genesis(chain uuid, node text, opened timestamptz) returns bytea language sql stable
    set search_path = pg_catalog, pg_temp as $$
    select sha256(convert_to(format(E'portcullis ledger\\n%s\\n%s\\n%s', chain, node, to_char(opened at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')), 'UTF8'))
  $$`,

  `create function ledger.open_chain(chain uuid, node text, opened timestamptz, genesis bytea, out head bigint, out hash bytea) language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
  begin
    insert into ledger.chain (chain_id, node, opened_at, last_hash) values (chain, node, opened, genesis) on conflict (chain_id) do nothing;
    select c.last_seq, c.last_hash into head, hash from ledger.chain c where c.chain_id = chain;
  end $$`,

  // `hashes` holds 32 bytes for the record before the batch, then 32 for each of its records. That they fit the text as
  // the database has it is looked at here, where a mistake can still be refused; that nothing changed later is what
  // verification is for.
  `create function ledger.ingest(chain uuid, first_seq bigint, lines text, hashes bytea) returns bigint language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
  declare
    head bigint;
    earliest timestamptz;
    added bigint;
  begin
    select c.last_seq into head from ledger.chain c where c.chain_id = chain for update;
    if not found then raise exception 'chain % was never opened', chain using errcode = 'foreign_key_violation'; end if;
    if first_seq <> head + 1 or lines = '' then return head; end if;
    if exists (select from ${line} where substring(hashes from (number * 32)::int + 1 for 32)
        is distinct from sha256(substring(hashes from (number * 32)::int - 31 for 32) || sha256(convert_to(line.body, 'UTF8')))) then
      raise exception 'the hashes do not fit the records' using errcode = 'LG001';
    end if;
    earliest := (split_part(lines, E'\\n', 1)::json ->> 'ts')::timestamptz;
    if to_regclass('ledger.event_' || to_char(earliest at time zone 'UTC', 'YYYY_MM')) is null then perform ledger.ensure_month(earliest); end if;
    insert into ledger.event (chain_id, seq, ts, ${names}, body, hash)
      select chain, head + line.number, r.ts, ${extracted.map(([name]) => `r.${name}`).join(', ')}, line.body::json, substring(hashes from (number * 32)::int + 1 for 32)
      from ${line}, json_to_record(line.body::json) as r(ts timestamptz, ${columns.join(', ')});
    get diagnostics added = row_count;
    update ledger.chain c set last_seq = head + added, last_ts = earliest, last_hash = substring(hashes from (added * 32)::int + 1 for 32) where c.chain_id = chain;
    return head + added;
  end $$`,

  `create function ledger.note_gap(chain uuid, first_seq bigint, hash bytea) returns bigint language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
  declare
    head bigint;
  begin
    select c.last_seq into head from ledger.chain c where c.chain_id = chain for update;
    if first_seq <= head + 1 then return head; end if;
    update ledger.chain c set last_seq = first_seq - 1, last_hash = hash,
      gaps = (c.gaps::jsonb || jsonb_build_object('after', head, 'before', first_seq, 'hash', encode(hash, 'hex'), 'noted_at', now()))::json where c.chain_id = chain;
    return first_seq - 1;
  end $$`,

  // A replica of the version before goes on calling these while others are replaced. It sends no hashes, so the
  // database makes them.
  `create or replace function ledger.open_chain(chain uuid, node text, opened timestamptz) returns bigint language sql security definer
    set search_path = pg_catalog, pg_temp as $$
    select head from ledger.open_chain(chain, node, opened, ledger.genesis(chain, node, opened))
  $$`,
  `create or replace function ledger.ingest(chain uuid, first_seq bigint, lines text) returns bigint language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
  declare
    hash bytea;
    hashes bytea;
    body text;
  begin
    select c.last_hash into hash from ledger.chain c where c.chain_id = chain for update;
    hashes := hash;
    for body in select line.body from ${line} order by number loop
      hash := sha256(hash || sha256(convert_to(body, 'UTF8')));
      hashes := hashes || hash;
    end loop;
    return ledger.ingest(chain, first_seq, lines, hashes);
  end $$`,
  `create or replace function ledger.note_gap(chain uuid, first_seq bigint) returns bigint language sql security definer
    set search_path = pg_catalog, pg_temp as $$
    select ledger.note_gap(chain, first_seq, ledger.genesis(c.chain_id, c.node, c.opened_at)) from ledger.chain c where c.chain_id = chain
  $$`,

  // What is there already is hashed as it stands; no signature will vouch for it.
  'drop trigger refuse_change on ledger.event',
  `do $$
  declare
    c ledger.chain;
    link bytea;
    e record;
    expected bigint;
  begin
    for c in select * from ledger.chain loop
      link := ledger.genesis(c.chain_id, c.node, c.opened_at);
      expected := 1;
      for e in select seq, ts, body::text as body from ledger.event where chain_id = c.chain_id order by seq loop
        -- Behind a gap the hashes begin anew, as note_gap has it.
        if e.seq <> expected then link := ledger.genesis(c.chain_id, c.node, c.opened_at); end if;
        link := sha256(link || sha256(convert_to(e.body, 'UTF8')));
        update ledger.event v set hash = link where v.chain_id = c.chain_id and v.seq = e.seq and v.ts = e.ts;
        expected := e.seq + 1;
      end loop;
      update ledger.chain set last_hash = link, gaps = (select coalesce(json_agg(gap || jsonb_build_object('hash', encode(ledger.genesis(c.chain_id, c.node, c.opened_at), 'hex'))), '[]')
        from jsonb_array_elements(c.gaps::jsonb) gap) where chain_id = c.chain_id;
    end loop;
  end $$`,
  'create trigger refuse_change before update or delete on ledger.event for each row execute function ledger.refuse_change()',

  'revoke all on all functions in schema ledger from public',
]
