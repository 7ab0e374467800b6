#!/usr/bin/env node
// What a call through Portcullis costs, by era and size of the answer, against the same call with nothing in between; and
// what a thousand idle connections take. See docs/performance.md.
//
//   npm run eras -- [--rounds n] [--part calls|idle] [--json] [--no-build]
//
// Exit code: 0 when every answer was right and every stream opened, 1 when not, 2 when the command line is wrong.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { compareEras, servers } from '../bench/eras.mjs'
import { startGateway } from '../bench/gateway.mjs'
import { kinds, measureIdle } from '../bench/idle.mjs'

const turn = { seconds: 1.5, warmUp: 0.5 }
/** A principal may have a hundred streams, so ten people open a thousand. More could not log in within a minute. */
const people = 10
const each = 100

const options = readOptions()
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort())
if (options.build && spawnSync(process.execPath, [fileURLToPath(new URL('./build.mjs', import.meta.url))], { stdio: ['ignore', 2, 2] }).status !== 0) {
  say('the build failed, so there is nothing to measure')
  process.exit(1)
}
const report = { node: process.version, calls: [], idle: [], faults: [] }
for (const part of options.parts) await measure(part === 'calls' ? calls : idle)
process.stdout.write(options.json ? `${JSON.stringify(report, undefined, 2)}\n` : `${describe(report).join('\n')}\n`)
process.exitCode = report.faults.length === 0 ? 0 : 1

function readOptions () {
  try {
    const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, part: { type: 'string' }, json: { type: 'boolean', default: false }, 'no-build': { type: 'boolean', default: false } } })
    if (!/^[1-9]$/.test(values.rounds)) throw new Error(`--rounds ${values.rounds}: expected a number from 1 to 9`)
    if (!['calls', 'idle', undefined].includes(values.part)) throw new Error(`--part ${values.part}: expected calls or idle`)
    return { rounds: Number(values.rounds), parts: values.part === undefined ? ['calls', 'idle'] : [values.part], json: values.json, build: !values['no-build'] }
  } catch (error) {
    say(error.message)
    process.exit(2)
  }
}

/** Each part has a gateway of its own: what one leaves in memory would be on the other's bill. */
async function measure (part) {
  const gateway = await startGateway('fsync', servers)
  let sent = 0
  let ledger
  try {
    sent = await part(gateway)
  } finally {
    ledger = await gateway.stop(sent)
  }
  if (ledger.intents !== sent || ledger.outcomes !== sent) report.faults.push(`${sent} calls were made, and the ledger has ${ledger.intents} of their intents and ${ledger.outcomes} of their outcomes`)
}

async function calls (gateway) {
  const { sent, rows } = await compareEras(gateway, { rounds: options.rounds, ...turn }, say, interrupted.signal)
  report.calls = rows
  report.faults.push(...rows.flatMap(({ name, faults }) => faults.map((fault) => `${name}: ${fault}`)))
  return sent
}

async function idle (gateway) {
  say(`adding ${people - 1} people to the first`)
  const tokens = [gateway.token]
  for (let number = 1; number < people; number++) tokens.push(await gateway.addUser(`user${number}`))
  for (const kind of Object.keys(kinds)) {
    const measured = await measureIdle(kind, { url: new URL(gateway.url.replace(/[^/]+$/, 'legacy')), pid: gateway.pid }, tokens, each)
    report.idle.push({ kind, ...measured })
    if (measured.streams !== people * each) report.faults.push(`${kind}: ${measured.streams} of ${people * each} stayed open`)
    say(`${kind}: ${measured.streams} open, ${Math.round(measured.before)} MiB before, ${Math.round(measured.during)} MiB with them`)
  }
  return 0
}

function describe ({ calls, idle, faults }) {
  return [
    ...calls.map(({ name, direct, through, ratio, growth }) => `${name.padEnd(36)} ${String(Math.round(direct)).padStart(8)} µs directly ${String(Math.round(through)).padStart(8)} µs through ${ratio.toFixed(2).padStart(6)} ×  memory + ${Number.isNaN(growth) ? '?' : Math.round(growth)} MiB`),
    ...idle.map(({ kind, streams, before, during }) => `${streams} idle ${kind}: ${Math.round(before)} MiB before, ${Math.round(during)} MiB with them, ${((during - before) * 1024 / streams).toFixed(1)} KiB each`),
    ...faults.map((fault) => `fault: ${fault}`),
  ]
}

function say (line) {
  process.stderr.write(`${(performance.now() / 1000).toFixed(1).padStart(6)}  ${line}\n`)
}
