// What Portcullis must reach, as ratios of contenders of the same run, and how to tell.

/** `atMost` and `atLeast` bound measure(of) ÷ measure(against). Small calls, 16 at a time. */
export const targets = [
  { scenario: 'small', measure: 'cpu', of: 'portcullis-os', against: 'node-http', atMost: 3.0 },
  { scenario: 'small', measure: 'cpu', of: 'portcullis-fsync', against: 'node-http', atMost: 4.0 },
  { scenario: 'small', measure: 'throughput', of: 'portcullis-os', against: 'mcp-proxy', atLeast: 5.0 },
  { scenario: 'small', measure: 'throughput', of: 'portcullis-fsync', against: 'mcp-proxy', atLeast: 3.5 },
]

/**
 * The targets with { ratio, verdict, why }. `ratioOf(target)` gives a number, or throws an Error that says why there is none.
 * met | missed | unmeasured: only what this machine cannot measure is unmeasured; a contender that is absent or answers wrongly is a miss.
 */
export function judge (ratioOf, { measurable }) {
  return targets.map((target) => {
    if (target.measure === 'cpu' && !measurable) return { ...target, ratio: null, verdict: 'unmeasured', why: 'CPU time of other processes is read from /proc, which this system does not have' }
    try {
      const ratio = ratioOf(target)
      return { ...target, ratio, verdict: holds(target, ratio) ? 'met' : 'missed', why: describe(target) }
    } catch (error) {
      return { ...target, ratio: null, verdict: 'missed', why: `${describe(target)}; ${error.message}` }
    }
  })
}

function holds ({ atMost = Infinity, atLeast = -Infinity }, ratio) {
  return ratio <= atMost && ratio >= atLeast
}

function describe ({ scenario, measure, of, against, atMost, atLeast }) {
  const bound = atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`
  return `${measure === 'cpu' ? 'CPU per call' : measure} of ${of} ${bound} × ${against} (${scenario} calls)`
}
