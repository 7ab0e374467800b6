// What was found out, for people.

const columns = [
  ['sent', ({ sent }) => sent],
  ['answered', ({ answered }) => answered],
  ['refused', ({ refused }) => refused],
  ['no answer', ({ unanswered }) => unanswered],
  ['reached the server', ({ reached }) => reached],
  ['on record', ({ intents }) => intents],
  ['reached, not on record', ({ unrecorded }) => unrecorded],
  ['answered, no outcome', ({ withoutOutcome }) => withoutOutcome],
  ['twice', ({ duplicates }) => duplicates],
  ['records verified', ({ verified }) => verified],
  ['flaws in the chains', ({ findings }) => findings.length],
]

/** What must not be, one sentence each. */
export function flawsOf ({ fault, skipped, flaws = [], reached, unrecorded, withoutOutcome, duplicates, findings = [] }) {
  if (skipped !== undefined || flaws.length > 0) return flaws
  return [
    reached === 0 && 'no call reached the server, so nothing was proven',
    unrecorded > 0 && `${unrecorded} calls reached the server and are not on the record`,
    withoutOutcome > 0 && `${withoutOutcome} calls were answered, and the record has no outcome`,
    duplicates > 0 && `${duplicates} are there twice`,
    ...findings,
  ].filter((flaw) => flaw !== false).map((flaw) => `${fault}: ${flaw}`)
}

/** The report as lines of text. */
export function table (rows, flaws, { seed, durability }) {
  const done = rows.filter(({ reached }) => reached !== undefined)
  return [
    `durability ${durability}, moments from seed ${seed}`,
    '',
    `| fault | ${columns.map(([title]) => title).join(' | ')} |`,
    `|---|${columns.map(() => '--:').join('|')}|`,
    ...done.map((row) => `| ${row.fault} | ${columns.map(([, of]) => of(row)).join(' | ')} |`),
    '',
    ...done.map(({ fault, effect }) => `${fault}: ${effect}`),
    ...rows.filter(({ skipped }) => skipped !== undefined).map(({ fault, skipped }) => `SKIPPED ${fault}: ${skipped}`),
    ...flaws.map((flaw) => `FLAW ${flaw}`),
    flaws.length === 0 ? 'nothing is missing' : 'NOT PROVEN',
  ]
}
