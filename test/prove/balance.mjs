// Do the books balance? What reached the server and what clients were told, against what is on the record.
import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE = 60_000

/** Waits until the database has everything and the chains of the dead are closed. */
export async function settled (site) {
  const end = performance.now() + PATIENCE
  while (await site.lag() > 0 || await openChains(site) > 1) {
    if (performance.now() > end) throw new Error(`${await site.lag()} records are not in the database after ${PATIENCE / 1000} s`)
    await sleep(50)
  }
}

/** One row of the table; every figure from `unrecorded` on has to be 0. */
export async function balance (site, crowd) {
  const marks = `${crowd.name}-%`
  const recorded = new Map((await site.query(`
    select c.body -> 'args' ->> 'text' as mark, count(distinct (c.chain_id, c.seq))::int as intents, (count(distinct (o.chain_id, o.seq)) filter (where o.seq is not null))::int as outcomes
    from ledger.event c left join ledger.event o on o.record = c.record and o.kind = 'outcome'
    where c.kind = 'call' and c.tool = 'echo' and c.body -> 'args' ->> 'text' like $1 group by 1`, [marks])).map(({ mark, ...counts }) => [mark, counts]))
  const reached = site.reached().filter((mark) => mark.startsWith(`${crowd.name}-`))
  const [{ twice }] = await site.query("select (select count(*) from (select from ledger.event where kind in ('call', 'outcome', 'refusal') group by kind, record having count(*) > 1) r)::int + (select count(*) - count(distinct (chain_id, seq)) from ledger.event)::int as twice")
  const { findings, records } = await site.verify()
  return {
    sent: crowd.sent,
    answered: crowd.answered.size,
    refused: crowd.refused,
    unanswered: crowd.unanswered,
    reached: reached.length,
    intents: recorded.size,
    unrecorded: reached.filter((mark) => !recorded.has(mark)).length,
    withoutOutcome: [...crowd.answered].filter((mark) => !(recorded.get(mark)?.outcomes > 0)).length,
    duplicates: twice + [...recorded.values()].filter(({ intents, outcomes }) => intents > 1 || outcomes > 1).length + reached.length - new Set(reached).size,
    verified: records,
    findings: findings.map(({ text }) => text),
  }
}

async function openChains (site) {
  const [{ open }] = await site.query('select count(*)::int as open from ledger.chain where closed_at is null')
  return open
}
