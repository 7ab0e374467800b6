// Many runs into one line a contender, and two lines into a ratio. Pure.
import { median } from './latency.mjs'

/** Runs in which others used more of the machine than this are left out where better ones exist. */
const othersShare = 0.08

const measures = {
  throughput: (run) => run.throughput,
  p50: (run) => run.latency?.p50,
  p99: (run) => run.latency?.p99,
  cpu: (run) => run.cpu?.gateway,
}

/** { scenario: { contender: medians of its runs } }; what could not be measured is null. */
export function summarise (runs) {
  const grouped = {}
  for (const run of runs) ((grouped[run.scenario] ??= {})[run.contender] ??= []).push(run)
  return Object.fromEntries(Object.entries(grouped).map(([scenario, contenders]) => [scenario,
    Object.fromEntries(Object.entries(contenders).map(([contender, its]) => [contender, medians(its)]))]))
}

/**
 * Median over the rounds of measure(of) ÷ measure(against), each pair from the same round.
 * @throws Error saying why there is no such ratio
 */
export function ratio ({ runs, absent }, { scenario, measure, of, against }) {
  const [above, below] = [of, against].map((contender) => {
    const its = runs.filter((run) => run.scenario === scenario && run.contender === contender)
    if (its.length === 0) throw new Error(`${contender} ${absent[contender] === undefined ? 'did not run' : 'is absent'}`)
    if (its.some((run) => run.errors > 0)) throw new Error(`${contender} gave wrong answers`)
    return new Map(its.map((run) => [run.round, run]))
  })
  const pairs = [...above].filter(([round]) => below.has(round)).map(([round, run]) => [run, below.get(round)])
  const value = median(undisturbed(pairs).map(([one, other]) => measures[measure](one) / measures[measure](other)))
  if (!Number.isFinite(value)) throw new Error(`${measure} of ${of} and ${against} was not measured in the same round`)
  return value
}

function undisturbed (pairs) {
  const clean = pairs.filter((pair) => pair.every((run) => !(run.others > othersShare)))
  return clean.length > 0 ? clean : pairs
}

function medians (runs) {
  const clean = runs.filter((run) => !(run.others > othersShare))
  const used = clean.length > 0 ? clean : runs
  const middle = (pick) => {
    const values = used.map(pick).filter((value) => Number.isFinite(value))
    return values.length === 0 ? null : median(values)
  }
  return {
    runs: runs.length,
    undisturbed: clean.length,
    errors: runs.reduce((sum, run) => sum + run.errors, 0),
    ...Object.fromEntries(Object.entries(measures).map(([name, pick]) => [name, middle(pick)])),
    cpuOfDatabase: middle((run) => run.cpu?.database),
    cpuOfUpstream: middle((run) => run.cpu?.upstream),
    cpuOfLoad: middle((run) => run.cpu?.load),
    rss: middle((run) => run.memory?.gateway.rss),
    rssOfUpstream: middle((run) => run.memory?.upstream.rss),
    others: middle((run) => run.others),
  }
}
