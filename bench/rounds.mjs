// The comparison itself: everyone is started, everyone is warmed, then they take turns, A B C, C B A, A B C …, so that
// a change of the machine's mood falls on all alike.
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { machine, measurable } from './processes.mjs'
import { scenarios } from './scenarios.mjs'

const load = fileURLToPath(new URL('./load.mjs', import.meta.url))
const hardStopMs = 50_000
const quietShare = 0.1

/**
 * Gives { runs, absent, ledgers, faults }: runs as { scenario, contender, round, ...what load.mjs prints }, absent as
 * { contender: reason }, ledgers as { contender, calls, intents, outcomes }, and a sentence for everything that must not have happened.
 * Everything that was started is stopped before it returns or throws, also when `signal` aborts it.
 */
export async function compare (contenders, plan, say, signal = new AbortController().signal) {
  const outcome = { runs: [], absent: {}, ledgers: [], faults: [] }
  const sent = new Map()
  say(`starting ${contenders.map(({ name }) => name).join(', ')}`)
  const started = await startAll(contenders, outcome, say)
  try {
    say('warming everyone')
    for (const one of started) tally(sent, one, await runLoad(one, { ...scenarios.small, era: eraFor(one, 'legacy'), seconds: plan.heat, warmUp: 0, enough: plan.hot }, signal))
    await takeTurns(started, { plan, outcome, sent, say, signal })
  } finally {
    say('stopping everyone, counting records')
    await Promise.all(started.map((one) => stopOne(one, sent, outcome, say)))
  }
  return outcome
}

async function startAll (contenders, outcome, say) {
  const started = await Promise.all(contenders.map(async (contender) => {
    try {
      return { ...contender, ...await contender.start(say) }
    } catch (error) {
      outcome.absent[contender.name] = error.message
      say(`${contender.name} is absent: ${error.message}`)
    }
  }))
  return started.filter((one) => one !== undefined)
}

async function takeTurns (started, context) {
  const { plan, say } = context
  let longest = 0
  for (let round = 0; round < plan.rounds; round++) {
    const begun = performance.now()
    if ((begun + longest) / 1000 > plan.endsBy) {
      say(`time is up after ${round} of ${plan.rounds} rounds`)
      break
    }
    const order = round % 2 === 0 ? started : started.toReversed()
    for (const scenario of plan.scenarios) await oneTurn(order, scenario, round, context)
    longest = Math.max(longest, performance.now() - begun)
  }
}

async function oneTurn (order, scenario, round, { plan, outcome, sent, say, signal }) {
  for (const one of order) {
    const era = eraFor(one, scenarios[scenario].era)
    if (era === undefined) continue
    await quiet(plan.quietMs)
    const result = await runLoad(one, { ...scenarios[scenario], era, seconds: plan.seconds, warmUp: plan.warmUp }, signal)
    tally(sent, one, result)
    outcome.runs.push({ scenario, contender: one.name, round, ...result })
    if (result.errors > 0) outcome.faults.push(`${one.name}, ${scenario} calls: ${result.errors} wrong answers: ${Object.keys(result.reasons).join('; ')}`)
    say(`round ${round + 1} ${scenario} ${one.name}: ${Math.round(result.throughput ?? 0)} calls/s${result.errors > 0 ? `, ${result.errors} errors` : ''}`)
  }
}

async function stopOne (one, sent, outcome, say) {
  try {
    const ledger = await one.stop(sent.get(one.name) ?? 0)
    say(`${one.name} has stopped`)
    if (ledger === undefined) return
    outcome.ledgers.push({ contender: one.name, ...ledger })
    const { calls, intents, outcomes } = ledger
    if (calls !== intents || calls !== outcomes) outcome.faults.push(`${one.name}: ${calls} calls were made, and the ledger has ${intents} of their intents and ${outcomes} of their outcomes`)
  } catch (error) {
    outcome.faults.push(`${one.name}: ${error.message}`)
    say(`${one.name}: ${error.message}`)
  }
}

/** Servers without eras answer the same bytes; undefined when a contender cannot take part. */
function eraFor ({ eras }, era) {
  return eras.includes(era) ? era : eras.includes('echo') ? 'echo' : undefined
}

function tally (sent, { name }, result) {
  sent.set(name, (sent.get(name) ?? 0) + (result.sent ?? 0))
}

/** One run of the load generator, a process of its own so that it can be stopped whatever happens. */
export async function runLoad ({ url, token, pid, database }, { era, connections, pad, seconds, warmUp, enough, think }, signal) {
  const options = { url, token, pid, database, era, connections, pad, seconds, 'warm-up': warmUp, enough, think }
  const args = Object.entries(options).filter(([, value]) => value !== undefined).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = spawn(process.execPath, [load, ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: hardStopMs, killSignal: 'SIGKILL', signal })
  const texts = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr']) child[stream].setEncoding('utf8').on('data', (text) => { texts[stream] += text })
  await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject))
  try {
    return JSON.parse(texts.stdout)
  } catch {
    return { calls: 0, sent: 0, errors: 1, reasons: { [`the load generator failed: ${texts.stderr.slice(0, 300)}`]: 1 } }
  }
}

/** Waits until the machine is nearly idle, but no longer than this. */
async function quiet (longestMs) {
  if (!measurable) return
  for (const deadline = Date.now() + longestMs; Date.now() < deadline;) {
    const before = machine()
    await sleep(250)
    const after = machine()
    if ((after.busy - before.busy) / (after.total - before.total) < quietShare) return
  }
}
