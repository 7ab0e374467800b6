// A chain of records that is what it seems: written by the ledger of the gateway, hashed and signed by it.
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

const AUDIT = { durability: 'os', maxOutage: 60_000, spoolMax: 512 * 1024 * 1024, checkpointEvery: 60_000, anchor: undefined }
/** Records that may be on their way at once. */
const AHEAD = 20_000
const GROUP = 500

/** Writes so many records of calls and what came of them through a ledger in the directory `data`, and closes it. */
export async function writeChain ({ data, database, records, log }) {
  const { openLedger } = await import('../../dist/src/ledger/ledger.js')
  const { ledgerSeed } = await import('../../dist/src/ledger/keys.js')
  // The ledger keeps no process alive by itself.
  const alive = setInterval(() => {}, 1_000)
  const ledger = openLedger({ data, database, thread: { url: database.url }, seed: ledgerSeed(data), audit: AUDIT, log })
  for (let done = 0; done < records; done += GROUP) {
    for (let n = done; n < Math.min(done + GROUP, records); n += 2) call(ledger, n)
    await new Promise((resolve, reject) => { ledger.written((error) => error === undefined ? resolve() : reject(error)) })
    while (ledger.status.lagRecords > AHEAD) await sleep(5)
  }
  while (ledger.status.lagRecords > 0) await sleep(5)
  await ledger.close()
  clearInterval(alive)
}

function call (ledger, n) {
  const record = ledger.newRecord()
  const args = JSON.stringify({ path: `/data/reports/${n % 977}/${n}.md`, query: `quarter ${n % 4} of region ${n % 31}`, limit: n % 100, note: 'what a person would say about it in a sentence or two, which is as long as this'.slice(0, 20 + n % 60) })
  const digest = `sha256:${createHash('sha256').update(args).digest('hex')}`
  const who = { principal: { id: `00000000-0000-4000-8000-${String(n % 300).padStart(12, '0')}`, name: `person${n % 300}` }, token: `00000000-0000-4000-9000-${String(n % 300).padStart(12, '0')}`, client: 'assistant/1.0', source: `10.1.${n % 250}.7`, era: '2025-11-25' }
  ledger.append({ kind: 'call', record, ...who, method: 'tools/call', upstream: `upstream${n % 20}`, target: `tool${n % 12}`, args, digest, decision: 'allow', rule: `user:0 upstream${n % 20}/*`, bytesIn: 160 + args.length, policy: '0123456789ab' })
  ledger.append({ kind: 'outcome', record, outcome: 'ok', durationMs: (n % 5000) / 10, bytesOut: 300, digest })
}
