// What recording adds to a call: the same gateway without a ledger, and with each durability, in turns.
import { fileURLToPath } from 'node:url'

import { startGateway } from '../gateway.mjs'
import { summarise } from '../results.mjs'
import { compare } from '../rounds.mjs'

const upstream = [process.execPath, fileURLToPath(new URL('../servers/stdio-echo.mjs', import.meta.url))]
const plan = { scenarios: ['single', 'small'], rounds: 3, seconds: 2, warmUp: 0.3, heat: 5, hot: 20_000, quietMs: 250, endsBy: 300 }

const contenders = [
  { name: 'off', title: 'no ledger (only here)', start: () => startGateway('os', upstream, { recorded: false }) },
  ...['os', 'fsync', 'database'].map((durability) => ({ name: durability, title: `durability ${durability}`, start: () => startGateway(durability, upstream) })),
].map((contender) => ({ ...contender, eras: ['legacy'] }))

/** { rows: [{ title, single, many }], faults }, each with p50 and p99 in µs, what they are above those without a ledger, and the calls a second. */
export async function measureCalls (say, signal) {
  const outcome = await compare(contenders, plan, say, signal)
  const { single, small } = summarise(outcome.runs)
  const above = (runs, name) => runs?.[name] === undefined ? undefined : { ...runs[name], addedP50: runs[name].p50 - runs.off?.p50, addedP99: runs[name].p99 - runs.off?.p99 }
  const rows = contenders.map(({ name, title }) => ({ title, single: above(single, name), many: above(small, name) })).filter((row) => row.single !== undefined)
  return { rows, faults: [...outcome.faults, ...Object.entries(outcome.absent).map(([name, reason]) => `${name} is absent: ${reason}`)] }
}
