// What a run through the gateway is worth, compared with the same scenarios without it.

/** Passed, or found by the suite itself not to apply: a stream cannot be tried where the answer is plain JSON. */
const acceptable = new Set(['SUCCESS', 'INFO', 'SKIPPED'])

/** Counts of one run: { passed, failed }. */
export function countOf (results) {
  let passed = 0
  let failed = 0
  for (const { checks, passed: good } of results.values()) {
    passed += good
    failed += checks - good
  }
  return { passed, failed }
}

/**
 * What passes directly has to pass through the gateway; what was left out did not.
 * @returns { expected, regressions } names of checks that fail, as the file of expected failures names them
 */
export function judge (cell, direct, through, expectations) {
  const failing = [...direct].filter(([name, { status }]) => status === 'SUCCESS' && !acceptable.has(through.get(name)?.status)).map(([name]) => `${cell} ${name}`)
  return { expected: failing.filter((name) => name in expectations), regressions: failing.filter((name) => !(name in expectations)) }
}

/** Expectations of the cells that were run which did not come true. */
export function staleOf (cells, failed, expectations) {
  return Object.keys(expectations).filter((name) => cells.some((cell) => name.startsWith(`${cell} `)) && !failed.includes(name))
}
