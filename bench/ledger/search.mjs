// How long searches of a large ledger take, as `audit search` and the API ask them.
const LIMIT = 100
const DAY = 86_400_000
/** A search that takes longer than this is not repeated, in milliseconds. */
const LONG = 3_000

/** The searches by name. `sample` as `sampleOf` has it. */
export function searches ({ word, phrase }) {
  return {
    'the newest': {},
    'a user who calls often': { user: 'person0' },
    'a user who calls rarely': { user: 'person299' },
    'a user that is not there': { user: 'nobody' },
    'a tool': { upstream: 'upstream3', tool: 'tool5' },
    'a tool that is not there': { upstream: 'upstream3', tool: 'nothing' },
    'what was denied': { decision: 'deny' },
    'log-ins': { kind: 'login' },
    'outcome timeout': { outcome: 'timeout' },
    'one code': { code: 'PORTCULLIS_RATE_LIMITED' },
    'refusals of a rare user': { user: 'person280', outcome: 'refused' },
    'time-outs of a rare user': { user: 'person280', outcome: 'timeout' },
    'a day a month ago': { since: new Date(Date.now() - 31 * DAY), until: new Date(Date.now() - 30 * DAY) },
    'a frequent word': { text: 'bacabo' },
    'two words in a row': { text: phrase },
    'a word that stands in one record': { text: word },
    'a word that is not there': { text: 'zzzqqq' },
    'the same, of one user': { user: 'person17', text: 'zzzqqq' },
    'the same, of one day': { since: new Date(Date.now() - DAY), text: 'zzzqqq' },
  }
}

/** Asks each search so many times: [{ name, found, times, p50, p95 }] in milliseconds; `found` is what went wrong when something did. */
export async function timeSearches (database, which, rounds, say) {
  const { search } = await import('../../dist/src/ledger/query.js')
  const rows = []
  for (const [name, filter] of Object.entries(which)) {
    const times = []
    let found
    while (times.length < rounds && !(times.at(-1) > LONG)) {
      const begun = performance.now()
      found = await search(database, filter, LIMIT).then((attempts) => attempts.length, (error) => error.message)
      times.push(performance.now() - begun)
    }
    times.sort((one, other) => one - other)
    rows.push({ name, found, times: times.length, p50: at(times, 0.5), p95: at(times, 0.95) })
    say(`${name}: ${found} found, ${Math.round(rows.at(-1).p50)} ms`)
  }
  return rows
}

function at (sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}
