// What was found out, as a table for people.

const columns = [
  { title: 'calls/s', of: ({ one }) => whole(one.throughput) },
  { title: '× base', of: ({ one, base }) => twoPlaces(one.throughput, base?.throughput) },
  { title: 'p50 µs', of: ({ one }) => whole(one.p50) },
  { title: 'p99 µs', of: ({ one }) => whole(one.p99) },
  { title: 'CPU µs/call', of: ({ one }) => tenths(one.cpu) },
  { title: '× base', of: ({ one, base }) => twoPlaces(one.cpu, base?.cpu) },
  { title: 'upstream', of: ({ one }) => tenths(one.cpuOfUpstream) },
  { title: 'database', of: ({ one }) => tenths(one.cpuOfDatabase) },
  { title: 'load', of: ({ one }) => tenths(one.cpuOfLoad) },
  { title: 'RSS MiB', of: ({ one }) => whole(one.rss) },
  { title: '+ upstream', of: ({ one }) => whole(one.rssOfUpstream) },
  { title: 'errors', of: ({ one }) => String(one.errors) },
  { title: 'others', of: ({ one }) => one.others === null ? '–' : `${Math.round(one.others * 100)} %` },
]

/** The whole report as lines of text. `document` as scripts print it with --json. */
export function describe (document) {
  return [
    ...Object.entries(document.scenarios).flatMap(([name, scenario]) => table(name, scenario, document)),
    ...Object.entries(document.absent).map(([name, reason]) => `absent: ${name}: ${reason}`),
    ...document.ledgers.map(({ contender, calls, intents, outcomes }) => `ledger of ${contender}: ${calls} calls, ${intents} intents, ${outcomes} outcomes`),
    '',
    ...document.targets.map(({ verdict, ratio, why }) => `${verdict.padEnd(10)} ${ratio === null ? '   –' : ratio.toFixed(2).padStart(5)}  ${why}`),
    ...document.faults.map((fault) => `fault: ${fault}`),
    document.ok ? 'every target is met' : `not good enough: ${document.missed.length} targets missed, ${document.faults.length} faults`,
  ]
}

function table (name, { connections, answerBytes, contenders }, { base, titles }) {
  const lines = Object.entries(contenders).map(([contender, one]) =>
    [titles[contender], ...columns.map(({ of }) => of({ one, base: contenders[base] }))])
  const rows = [['', ...columns.map(({ title }) => title)], ...lines]
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return [
    `${name} calls, ${connections} at a time, texts of ${answerBytes} bytes come back`,
    ...rows.map((row) => row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])).join('  ')),
    '',
  ]
}

function whole (value) {
  return value === null ? '–' : String(Math.round(value))
}

function tenths (value) {
  return value === null ? '–' : value.toFixed(1)
}

function twoPlaces (value, of) {
  return value === null || !of ? '–' : (value / of).toFixed(2)
}
