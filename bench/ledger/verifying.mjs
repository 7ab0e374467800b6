// How fast `audit verify` goes through the ledger, against the hashing alone of the same records from memory.
import { hash } from 'node:crypto'

import { median } from '../latency.mjs'
import { sample, spent } from '../processes.mjs'
import { writeChain } from './chain.mjs'
import { withDatabase } from './database.mjs'

const ROUNDS = 5

/**
 * { records, bytes, rate, bare, cpu }: records a second of both, the median of the rounds, in turns; CPU µs a record of this process and of the
 * database. `bytes` of a record's text.
 */
export async function measureVerifying (records, say) {
  return await withDatabase('verify', async (site) => {
    say(`writing ${records} records through the ledger`)
    await writeChain({ ...site, records })
    await site.database.pool.query('vacuum analyze')
    const texts = await textsOf(site.patient.pool)
    const rounds = []
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push({ ...await verifyOnce(site), bare: hashOnce(texts) })
      say(`round ${round + 1}: ${Math.round(rounds.at(-1).rate)} records/s verified, ${Math.round(rounds.at(-1).bare)} hashed`)
    }
    const middle = (of) => median(rounds.map(of))
    return {
      records,
      bytes: texts.reduce((sum, text) => sum + text.length, 0) / texts.length,
      rate: middle(({ rate }) => rate),
      bare: middle(({ bare }) => bare),
      cpu: { own: middle(({ cpu }) => cpu.gateway), database: middle(({ cpu }) => cpu.database) },
      faults: rounds.flatMap(({ findings }) => findings),
    }
  })
}

async function verifyOnce ({ database, data }) {
  const { withSnapshot } = await import('../../dist/db/snapshot.js')
  const { verifyView } = await import('../../dist/src/ledger/verify/verify.js')
  const { trustedKeys } = await import('../../dist/src/ledger/keys.js')
  const watched = { root: process.pid, database: new URL(database.url).pathname.slice(1) }
  // Within the view, since the server's process for it ends with it.
  return await withSnapshot(database.url, async (snapshot) => {
    const before = sample(watched)
    const begun = performance.now()
    const { records, findings } = await verifyView(snapshot, { keys: trustedKeys(data, []), sources: [] })
    const seconds = (performance.now() - begun) / 1000
    const { gateway, database: server } = spent(before, sample(watched))
    return { rate: records / seconds, cpu: { gateway: gateway / records, database: server / records }, findings: findings.map(({ text }) => text) }
  })
}

const SAMPLE = 100_000

async function textsOf (pool) {
  const { rows } = await pool.query(`select body::text as text from ledger.event order by seq limit ${SAMPLE}`)
  return rows.map(({ text }) => Buffer.from(text))
}

/** The two hashes that each record takes, and nothing else: records a second. */
function hashOnce (texts) {
  const pair = Buffer.alloc(64)
  const begun = performance.now()
  for (const text of texts) {
    pair.write(hash('sha256', text, 'binary'), 32, 'latin1')
    pair.write(hash('sha256', pair, 'binary'), 'latin1')
  }
  return texts.length / (performance.now() - begun) * 1000
}
