// Searches of a large ledger, without and with the index of words.
import { withDatabase } from './database.mjs'
import { fillLedger, sampleOf } from './rows.mjs'
import { searches, timeSearches } from './search.mjs'

const ROUNDS = 20

/** { records, plain, words, faults }: `plain` and `words` as timeSearches has them; a search that fails is one that took too long. */
export async function measureSearch (records, say) {
  const { makeIndexes, setWordIndex } = await import('../../dist/db/ledger-indexes.js')
  return await withDatabase('search', async ({ database, patient }) => {
    say(`making ${records} records`)
    await fillLedger(patient.pool, records, say)
    const which = searches(await sampleOf(patient.pool, records))
    const plain = await timeSearches(database, which, ROUNDS, say)
    say('building the index of words')
    await setWordIndex(patient.db, true)
    await makeIndexes(patient.db, ({ table }) => say(`words of ${table}`))
    return { records, plain, words: await timeSearches(database, which, ROUNDS, say) }
  })
}
