#!/usr/bin/env node
// Do calls stay quick while everybody logs in? Calls run, quietly and while a hundred people log in at the same moment, in turns. See docs/performance.md.
//
//   npm run storm -- [--rounds n] [--json] [--no-build]
//
// Exit code: 0 when the target is met, 1 when it is missed or an answer was wrong, 2 when the command line is wrong.
import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { password, startGateway } from '../bench/gateway.mjs'
import { median } from '../bench/latency.mjs'
import { runLoad } from '../bench/rounds.mjs'
import { storm } from '../bench/storm.mjs'

/** Sixteen people with a client that calls about forty times a second each. */
const CALLS = { era: 'legacy', connections: 16, think: 20, seconds: 4, warmUp: 0.5 }
const LOGINS = 100
/** By then the calls are warm and counted, in milliseconds; what the logins cost is over before the counting ends. */
const STARTED = 1500
/** The worst that a storm may make of the calls' p99, as a multiple of the quiet one of the same run. */
const MOST = 2

const options = readOptions()
if (options.build && spawnSync(process.execPath, [fileURLToPath(new URL('./build.mjs', import.meta.url))], { stdio: ['ignore', 2, 2] }).status !== 0) {
  say('the build failed, so there is nothing to measure')
  process.exit(1)
}
const report = await measure(options.rounds)
process.stdout.write(options.json ? `${JSON.stringify(report, undefined, 2)}\n` : `${describe(report).join('\n')}\n`)
process.exitCode = report.ok ? 0 : 1

function readOptions () {
  try {
    const { values } = parseArgs({ options: { rounds: { type: 'string', default: '4' }, json: { type: 'boolean', default: false }, 'no-build': { type: 'boolean', default: false } } })
    if (!/^[1-9]$/.test(values.rounds)) throw new Error(`--rounds ${values.rounds}: expected a number from 1 to 9`)
    return { rounds: Number(values.rounds), json: values.json, build: !values['no-build'] }
  } catch (error) {
    say(error.message)
    process.exit(2)
  }
}

/** Quiet and storm take turns on one gateway, so that a change of the machine's mood falls on both. */
async function measure (rounds) {
  const server = fileURLToPath(new URL('../bench/servers/stdio-echo.mjs', import.meta.url))
  const gateway = await startGateway('fsync', [process.execPath, server])
  const found = []
  let sent = 0
  const calls = async (more = {}) => {
    const result = await runLoad(gateway, { ...CALLS, ...more })
    sent += result.sent
    return result
  }
  try {
    await calls({ think: 0, seconds: 5 })
    for (let round = 0; round < rounds; round++) {
      const quiet = await calls()
      const running = calls()
      await sleep(STARTED)
      const logins = await storm({ origin: new URL(gateway.url).origin, username: 'admin', password, logins: LOGINS, firstAddress: round * LOGINS })
      found.push({ quiet, stormy: await running, logins })
      say(`round ${round + 1}: p99 ${quiet.latency?.p99} µs quiet, ${found.at(-1).stormy.latency?.p99} µs in the storm; ${logins.admitted} logins admitted, ${logins.refused} refused`)
    }
  } finally {
    await gateway.stop(sent)
  }
  return judge(found)
}

function judge (found) {
  const p99 = (which) => median(found.map((round) => round[which].latency?.p99 ?? Infinity))
  const sum = (of) => found.reduce((total, round) => total + of(round), 0)
  const faults = found.flatMap(({ quiet, stormy, logins }) => [...Object.keys(quiet.reasons), ...Object.keys(stormy.reasons), ...Object.keys(logins.wrong)])
  const [quiet, stormy] = [p99('quiet'), p99('stormy')]
  const logins = { sent: sum((round) => round.logins.sent), admitted: sum((round) => round.logins.admitted), refused: sum((round) => round.logins.refused) }
  return { ok: faults.length === 0 && stormy <= MOST * quiet && logins.admitted > 0 && logins.refused > 0, quiet, stormy, ratio: stormy / quiet, atMost: MOST, logins, faults }
}

function describe ({ ok, quiet, stormy, ratio, atMost, logins, faults }) {
  return [
    `p99 of calls: ${quiet} µs quiet, ${stormy} µs while ${LOGINS} log in at once: ${ratio.toFixed(2)} × (at most ${atMost})`,
    `logins: ${logins.sent}, of which ${logins.admitted} were admitted and ${logins.refused} told by 503 when to come back`,
    ...faults.map((fault) => `fault: ${fault}`),
    ok ? 'the target is met' : 'not good enough',
  ]
}

function say (line) {
  process.stderr.write(`${(performance.now() / 1000).toFixed(1).padStart(6)}  ${line}\n`)
}
