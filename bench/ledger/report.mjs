// What was found out about the ledger, as tables for people. Pure.

/** Records a second that verification is to reach, unless half of what hashing alone reaches is less. */
const VERIFY_RATE = 200_000

/** The whole report as lines. `report` as scripts/ledger-bench.mjs prints it with --json. */
export function describe ({ node, cores, cpu, parts, faults }) {
  return [
    `Node ${node}, ${cores} cores (${cpu})`,
    ...Object.entries(parts).filter(([, result]) => Object.keys(result).some((key) => key !== 'faults')).flatMap(([part, result]) => ['', ...tables[part](result)]),
    '',
    ...faults.map((fault) => `fault: ${fault}`),
    faults.length === 0 ? 'nothing was wrong' : `${faults.length} faults`,
  ]
}

const tables = {
  calls: ({ rows }) => ['a call, and what recording adds to it (µs)', ...table(
    ['', 'alone p50', '+', 'p99', '+', '16 at a time: calls/s', 'p50', '+', 'p99', '+', 'CPU µs/call'],
    rows.map(({ title, single, many }) => [title, ...[single.p50, single.addedP50, single.p99, single.addedP99, many?.throughput, many?.p50, many?.addedP50, many?.p99, many?.addedP99, many?.cpu].map(whole)]))],
  shipping: ({ records, seconds, rate }) => [`shipped from the spool: ${records} records in ${seconds.toFixed(1)} s, ${whole(rate)} records/s`],
  verify: (result) => [verdictOf(result), ...table(
    ['records', 'bytes each', 'verified/s', 'hashed/s', 'hashed ÷ verified', 'CPU µs of verify', 'of the database'],
    [[result.records, result.bytes, result.rate, result.bare].map(whole).concat((result.bare / result.rate).toFixed(2), result.cpu.own.toFixed(1), result.cpu.database.toFixed(1))])],
  storage: ({ rows, text, calls }) => [`bytes a call in the database, argument and result of ${text} bytes each, ${calls} calls, after VACUUM`, ...table(
    ['', 'heap', 'indexes', 'TOAST', 'all'], rows.map(({ title, heap, indexes, toast, total }) => [title, ...[heap, indexes, toast, total].map(whole)]))],
  search: ({ records, plain, words }) => [`searches of ${records} records (ms), 100 results at most`, ...table(
    ['', 'found', 'p50', 'p95', 'with the index of words: p50', 'p95'],
    plain.map(({ name, found, p50, p95 }, index) => [name, Number.isInteger(found) ? whole(found) : 'given up', whole(p50), whole(p95), whole(words[index].p50), whole(words[index].p95)]))],
}

function verdictOf ({ rate, bare }) {
  const bar = Math.min(VERIFY_RATE, bare / 2)
  return `audit verify: ${whole(rate)} records/s; aimed at ${whole(bar)} (200,000, or half of what hashing alone reaches): ${rate >= bar ? 'reached' : 'NOT reached'}`
}

function table (head, lines) {
  const rows = [head, ...lines]
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return rows.map((row) => row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])).join('  '))
}

function whole (value) {
  return Number.isFinite(value) ? String(Math.round(value)) : '–'
}
