#!/usr/bin/env node
// Portcullis with everything on, against bare HTTP, the SDK's own server and the gateways of others. See docs/performance.md.
//
//   npm run bench -- [--quick] [--json] [--scenarios small,large,single,many,modern] [--only name,name] [--rounds n] [--no-build]
//
// Exit code: 0 when every target is met, 1 when one is missed or something went wrong, 2 when the command line is wrong.
import { spawnSync } from 'node:child_process'
import { cpus, release } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { base, contenders } from '../bench/contenders.mjs'
import { tagBytes } from '../bench/payload.mjs'
import { measurable } from '../bench/processes.mjs'
import { describe } from '../bench/report.mjs'
import { ratio, summarise } from '../bench/results.mjs'
import { compare } from '../bench/rounds.mjs'
import { plans, scenarios } from '../bench/scenarios.mjs'
import { judge } from '../bench/targets.mjs'

const options = readOptions()
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort())

if (options.build) build()
if (!measurable) say('CPU and memory are read from /proc, which this system does not have: both are left out, and targets on CPU stay unmeasured')
const outcome = await compare(options.contenders, options.plan, say, interrupted.signal).catch((error) => {
  if (!interrupted.signal.aborted) throw error
  say('interrupted')
  process.exit(130)
})
const document = documentOf(outcome, options)
process.stdout.write(options.json ? `${JSON.stringify(document, undefined, 2)}\n` : `\n${describe(document).join('\n')}\n`)
process.exitCode = document.ok ? 0 : 1
if (options.json && !document.ok) say([...document.missed, ...document.faults].join('\n'))

function readOptions () {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        scenarios: { type: 'string' },
        only: { type: 'string' },
        rounds: { type: 'string' },
        'no-build': { type: 'boolean', default: false },
      },
    })
    const plan = { ...plans[values.quick ? 'quick' : 'full'] }
    if (values.scenarios !== undefined) plan.scenarios = known(values.scenarios, Object.keys(scenarios), 'scenario')
    if (values.rounds !== undefined) plan.rounds = positive(values.rounds)
    const names = contenders.map(({ name }) => name)
    const only = values.only === undefined ? names : known(values.only, names, 'contender')
    return { json: values.json, quick: values.quick, build: !values['no-build'], plan, contenders: contenders.filter(({ name }) => only.includes(name)) }
  } catch (error) {
    say(error.message)
    process.exit(2)
  }
}

function known (list, all, what) {
  const names = list.split(',')
  const stranger = names.find((name) => !all.includes(name))
  if (stranger !== undefined) throw new Error(`"${stranger}" is no ${what}; there are ${all.join(', ')}`)
  return names
}

function positive (text) {
  if (!/^[1-9]\d?$/.test(text)) throw new Error(`--rounds ${text}: expected a number from 1 to 99`)
  return Number(text)
}

function build () {
  const script = fileURLToPath(new URL('./build.mjs', import.meta.url))
  const { status } = spawnSync(process.execPath, [script], { stdio: ['ignore', 2, 2] })
  if (status === 0) return
  say('the build failed, so there is nothing to measure')
  process.exit(1)
}

function documentOf (outcome, { quick, plan }) {
  const judged = judge((target) => ratio(outcome, target), { measurable })
  const missed = judged.filter(({ verdict }) => verdict === 'missed').map((target) => target.ratio === null ? target.why : `${target.why}: it is ${target.ratio.toFixed(2)}`)
  const medians = summarise(outcome.runs)
  return {
    ok: missed.length === 0 && outcome.faults.length === 0,
    quick,
    rounds: plan.rounds,
    machine: { node: process.version, platform: process.platform, kernel: release(), cores: cpus().length, cpu: cpus()[0]?.model ?? null },
    base,
    titles: Object.fromEntries(contenders.map(({ name, title }) => [name, title])),
    scenarios: Object.fromEntries(Object.entries(medians).map(([name, byContender]) => [name, {
      connections: scenarios[name].connections,
      answerBytes: scenarios[name].pad ?? tagBytes,
      contenders: Object.fromEntries(contenders.filter((one) => byContender[one.name] !== undefined).map((one) => [one.name, byContender[one.name]])),
    }])),
    targets: judged,
    missed,
    absent: outcome.absent,
    ledgers: outcome.ledgers,
    faults: outcome.faults,
  }
}

/** Progress goes to stderr, with the seconds since the start, so that stdout holds the report and nothing else. */
function say (line) {
  process.stderr.write(`${(performance.now() / 1000).toFixed(1).padStart(6)}  ${line}\n`)
}
