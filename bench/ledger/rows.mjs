// Records by the million for searching: made inside the database and shaped like those of the gateway, with hashes that chain nothing.

export const DAYS = 90
const PEOPLE = 300
const UPSTREAMS = 20
const TOOLS_EACH = 12

const PIECE = 100_000
const PIECE_MS = 600_000
const CHAIN = '00000000-0000-4000-8000-000000000001'

/**
 * Fills an empty ledger with about `records` records of the last 90 days. Of 100 attempts 90 are calls with an outcome (two
 * records), 8 refusals, 2 log-ins; 300 people, 240 tools and 8,000 words are chosen unevenly, as in life. `say` is told of
 * each piece. The pool needs no limit of time.
 */
export async function fillLedger (pool, records, say) {
  await pool.query(`select ledger.ensure_month(now() - make_interval(days => d)) from generate_series(0, ${DAYS + 1}, 13) d`)
  await pool.query(`insert into ledger.chain (chain_id, node, opened_at) values ('${CHAIN}', 'generated', now() - interval '${DAYS + 1} days')`)
  const attempts = Math.ceil(records / 1.9)
  for (let done = 0; done < attempts; done += PIECE) {
    const end = Math.min(attempts, done + PIECE)
    await pool.query({ text: piece, values: [done, end - 1, attempts], query_timeout: PIECE_MS })
    if (end === attempts || end % (10 * PIECE) === 0) say(`${end} of ${attempts} attempts are there`)
  }
  await pool.query({ text: 'vacuum analyze ledger.event', query_timeout: PIECE_MS })
}

/** What stands in one record in the middle: { record, word, phrase }, of which the word stands in no other. */
export async function sampleOf (pool, records) {
  const { rows: [row] } = await pool.query(`select record, split_part(split_part(body -> 'args' ->> 'path', '/', 5), '.', 1) as word, body -> 'args' ->> 'note' as note
    from ledger.event where chain_id = '${CHAIN}' and seq >= $1 and kind = 'call' order by seq limit 1`, [Math.floor(records / 2)])
  return { record: row.record, word: row.word, phrase: row.note.split(' ').slice(0, 2).join(' ') }
}

/** A word of three syllables, some much oftener than others: 8,000 in all. */
const word = ['bacedifoguhajekilomunaperisotuvawexiyozu', 'bocadifegohujaketimunopasirelotusivawexa', 'renosatilamukodepigubohavexizujecyfowano']
  .map((syllables) => `substr('${syllables}', 1 + 2 * floor(20 * random() ^ 2)::int, 2)`).join(' || ')
const words = (count) => Array.from({ length: count }, () => word).join(', ')
const spaced = (count) => Array.from({ length: count }, () => '%s').join(' ')
const time = 'to_char(ts at time zone \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')'
const personId = 'to_char(person, \'FM000000000000\')'
const digest = 'encode(sha256(int8send(seq)), \'hex\')'

const columns = ['kind', 'record', 'principal_id', 'principal', 'token_id', 'client', 'session', 'source', 'era', 'method', 'upstream', 'tool', 'decision', 'rule', 'code', 'outcome', 'duration_ms', 'bytes_in', 'bytes_out']
const typeOf = { duration_ms: 'float8', bytes_in: 'bigint', bytes_out: 'bigint' }

const piece = `
  with attempts as (
    select i, now() - interval '${DAYS} days' + interval '${DAYS} days' * (i::float8 / $3::int) as ts, random() as lot, random() as fate, floor(${PEOPLE} * random() ^ 2)::int as person,
      floor(${UPSTREAMS} * random() ^ 2)::int as upstream, floor(${TOOLS_EACH} * random())::int as tool, 1 + floor(2000 * random() ^ 2) as ms,
      format('{"path":"/data/%s/%s/%s-%s.md","query":"${spaced(3)}","limit":%s,"note":"${spaced(8)}"}', ${words(3)}, i, ${words(3)}, i % 100, ${words(8)}) as args
    from generate_series($1::int, $2::int) i
  ), records as (
    select i * 2 + 1 as seq, ts, case when lot < 0.9 then 'call' when lot < 0.98 then 'refusal' else 'login' end as kind, person, upstream, tool, null::text as outcome, fate, ms, args from attempts
    union all
    select i * 2 + 2, ts + make_interval(secs => ms / 1000), 'outcome', person, upstream, tool,
      case when fate < 0.96 then 'ok' when fate < 0.985 then 'tool_error' when fate < 0.998 then 'error' else 'timeout' end, fate, ms, args from attempts where lot < 0.9
  ), lines as (
    select *, 'mb' || to_char((seq + 1) / 2, 'FM000000000000') as record,
      case when kind = 'refusal' then case when fate < 0.7 then 'PORTCULLIS_UNKNOWN_TARGET' else 'PORTCULLIS_RATE_LIMITED' end when outcome = 'timeout' then 'PORTCULLIS_TIMEOUT' end as code from records
  )
  insert into ledger.event (chain_id, seq, ts, ${columns.join(', ')}, body, hash)
  select '${CHAIN}', seq, r.ts, ${columns.map((name) => `r.${name}`).join(', ')}, body, sha256(int8send(seq))
  from lines, lateral (select case kind
      when 'outcome' then format('{"ts":"%s","kind":"outcome","record":"%s"%s,"outcome":"%s","duration_ms":%s,"bytes_out":%s,"digest":"sha256:%s"}', ${time}, record, ',"code":"' || code || '"', outcome, ms, 200 + ms, ${digest})
      when 'login' then format('{"ts":"%s","kind":"login","record":"%s","principal_id":"00000000-0000-4000-8000-%s","principal":"person%s","source":"10.1.%s.7","decision":"allow","outcome":"ok"}', ${time}, record, ${personId}, person, person % 250)
      else format('{"ts":"%s","kind":"%s","record":"%s","principal_id":"00000000-0000-4000-8000-%s","principal":"person%s","token_id":"%s","client":"assistant/1.0","source":"10.1.%s.7","era":"modern","method":"tools/call","upstream":"upstream%s","tool":"tool%s","decision":"%s","rule":"%s"%s,"bytes_in":%s,"policy":"0123456789ab","digest":"sha256:%s","args":%s}',
        ${time}, kind, record, ${personId}, person, gen_random_uuid(), person % 250, upstream, tool, case kind when 'call' then 'allow' else 'deny' end,
        case kind when 'call' then 'user:0 upstream' || upstream || '/*' else 'default' end, ',"outcome":"refused","code":"' || code || '"', 300 + length(args), ${digest}, args)
    end::json as body) b,
    json_to_record(body) as r(ts timestamptz, ${columns.map((name) => `${name} ${typeOf[name] ?? 'text'}`).join(', ')})`
