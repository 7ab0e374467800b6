// What a call takes on the disk of the database, by what is kept of it.
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { startGateway } from '../gateway.mjs'

const upstream = [process.execPath, fileURLToPath(new URL('../servers/stdio-echo.mjs', import.meta.url))]
const CALLS = 3_000
const AT_ONCE = 16
/** Bytes of the text that goes in as the argument and comes back as the result. */
const TEXT = 250

const kept = [
  { title: 'arguments: none', audit: { arguments: 'none' } },
  { title: 'arguments: digest', audit: { arguments: 'digest' } },
  { title: 'arguments: redacted (the default)', audit: { arguments: 'redacted' } },
  { title: 'arguments: full', audit: { arguments: 'full' } },
  { title: 'the default, and payloads: full', audit: { payloads: [{ keep: 'full' }] } },
]

/** { rows: [{ title, heap, indexes, toast, total }] in bytes a call after VACUUM, faults }. */
export async function measureStorage (say) {
  const rows = []
  const faults = []
  for (const { title, audit } of kept) {
    const gateway = await startGateway('os', upstream, { audit })
    const sizes = await sizesAround(gateway, async () => await callAll(gateway)).finally(async () => {
      const ledger = await gateway.stop(CALLS)
      if (ledger.intents !== CALLS || ledger.outcomes !== CALLS) faults.push(`${title}: ${CALLS} calls were made, and the ledger has ${ledger.intents} intents and ${ledger.outcomes} outcomes`)
    })
    rows.push({ title, ...sizes })
    say(`${title}: ${Math.round(sizes.total)} bytes a call`)
  }
  return { rows, faults, text: TEXT, calls: CALLS }
}

async function sizesAround ({ data, databaseUrl }, work) {
  const { openDatabase } = await import('../../dist/db/connect.js')
  const database = await openDatabase({ url: databaseUrl, data, migrate: false })
  try {
    const before = await sizesOf(database.pool)
    await work()
    while (await recordsOf(database.pool) < 2 * CALLS) await sleep(50)
    await database.pool.query('vacuum analyze ledger.event')
    const after = await sizesOf(database.pool)
    return Object.fromEntries(Object.keys(after).map((part) => [part, (after[part] - before[part]) / CALLS]))
  } finally {
    await database.close()
  }
}

async function recordsOf (pool) {
  return (await pool.query("select count(*)::int as records from ledger.event where kind in ('call', 'outcome')")).rows[0].records
}

async function sizesOf (pool) {
  const { rows: [sizes] } = await pool.query(`
    select sum(pg_table_size(c.oid) - coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0))::float8 as heap, sum(pg_indexes_size(c.oid))::float8 as indexes,
      sum(coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0))::float8 as toast, sum(pg_total_relation_size(c.oid))::float8 as total
    from pg_inherits h join pg_class c on c.oid = h.inhrelid where h.inhparent = 'ledger.event'::regclass`)
  return sizes
}

/** In the era that has no sessions: each call stands alone. */
async function callAll ({ url, token }) {
  let next = 0
  const caller = async () => {
    for (let id = next++; id < CALLS; id = next++) await call(url, token, id)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, caller))
}

async function call (url, token, id) {
  const text = `${id} ${'a report that somebody asked for, with a few words that differ from call to call '.repeat(4)}`.slice(0, TEXT)
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' },
    body: JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'echo', arguments: { text }, _meta: meta } }),
    signal: AbortSignal.timeout(30_000),
  })
  const answer = await response.text()
  if (!answer.includes(text)) throw new Error(`a call got HTTP ${response.status}: ${answer.slice(0, 200)}`)
}

const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'portcullis-bench', version: '1.0.0' }, 'io.modelcontextprotocol/clientCapabilities': {} }
