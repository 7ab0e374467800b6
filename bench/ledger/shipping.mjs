// How fast records come to a database that is back: the spool is filled while it is stopped, then the catching up is timed.
import { mkdir, mkdtemp, rm, chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import pg from 'pg'

import { startGateway } from '../gateway.mjs'
import { runLoad } from '../rounds.mjs'

const upstream = [process.execPath, fileURLToPath(new URL('../servers/stdio-echo.mjs', import.meta.url))]
const AUDIT = { max_outage: '10m', spool_max: '1GiB' }
const LOAD = { era: 'legacy', connections: 16, seconds: 10, warmUp: 0 }
const LONGEST_MS = 120_000

/** { records, seconds, rate, faults }. The database is a private one, whatever TEST_DATABASE_URL says: it has to be stopped. */
export async function measureShipping (say) {
  const { openEmbedded } = await import('../../dist/db/embedded.js')
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-bench-shipping-'))
  const data = join(folder, 'postgres')
  await chmod(folder, 0o755)
  await mkdir(data, { mode: 0o711 })
  let server = await openEmbedded({ data })
  try {
    const gateway = await startGateway('os', upstream, { audit: AUDIT, databaseUrl: server.url })
    const warm = await runLoad(gateway, { ...LOAD, seconds: 3 })
    await server.close()
    say('the database is stopped: filling the spool')
    const filled = await runLoad(gateway, LOAD)
    server = await openEmbedded({ data })
    const caught = await catchUp(server.url, 2 * filled.sent)
    say(`${caught.records} records in ${caught.seconds.toFixed(1)} s`)
    const calls = warm.sent + filled.sent
    const ledger = await gateway.stop(calls)
    const wrong = [warm, filled].flatMap(({ reasons }) => Object.keys(reasons))
    return { ...caught, faults: ledger.intents === calls && ledger.outcomes === calls ? wrong : [...wrong, `${calls} calls were made, and the ledger has ${ledger.intents} intents and ${ledger.outcomes} outcomes`] }
  } finally {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** From the first record that arrives: how long the gateway takes to notice that the database is back is another question. */
async function catchUp (url, expected) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const head = async () => Number((await client.query('select coalesce(sum(last_seq), 0) as head from ledger.chain')).rows[0].head)
    const start = await head()
    const deadline = performance.now() + LONGEST_MS
    let begun
    let first = start
    for (let now = start; ; now = await head()) {
      if (begun === undefined && now > start) [begun, first] = [performance.now(), now]
      if (now - start >= expected) return rateOf(now - first, performance.now() - begun)
      if (performance.now() > deadline) throw new Error(`only ${now - start} of ${expected} records had come after ${LONGEST_MS / 1000} s`)
      await sleep(20)
    }
  } finally {
    await client.end()
  }
}

function rateOf (records, milliseconds) {
  return { records, seconds: milliseconds / 1000, rate: records / milliseconds * 1000 }
}
