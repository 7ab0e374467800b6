#!/usr/bin/env node
// `npm run ledger:prove`: is everything on the record, whatever fails? 64 callers at a time call a server that counts what reaches it, while the gateway is
// killed, the database stopped and frozen, the disk filled. See docs/ledger.md.
//
//   npm run ledger:prove -- [--kills n] [--durability fsync|os|database] [--seed n] [--json] [--no-build]
//
// Exit code: 0 when nothing is missing, 1 when something is, 2 when the command line is wrong.
import { parseArgs } from 'node:util'

import { balance, settled } from '../test/prove/balance.mjs'
import { Crowd } from '../test/prove/crowd.mjs'
import { faults } from '../test/prove/faults.mjs'
import { flawsOf, table } from '../test/prove/report.mjs'
import { openSite } from '../test/prove/site.mjs'
import { setup } from './setup.mjs'

const CALLERS = 64

const options = readOptions()
if (options.build) setup()
const site = await openSite(options.durability)
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { site.close().finally(() => process.exit(130)) })
const rows = []
try {
  for (const fault of faults(options)) rows.push(await suffer(fault).catch((error) => ({ fault: fault.name, flaws: [`${fault.name}: ${error.message}`] })))
  const { code } = await site.stopGateway()
  if (code !== 0) rows.push({ fault: 'stopping', flaws: [`stopping: the gateway ended with ${code} when it was asked to stop`] })
} finally {
  await site.close()
}
const flaws = rows.flatMap(flawsOf)
console.log(options.json ? JSON.stringify({ good: flaws.length === 0, seed: options.seed, durability: options.durability, rows, flaws }, undefined, 2) : table(rows, flaws, options).join('\n'))
process.exitCode = flaws.length === 0 ? 0 : 1

/** The crowd calls, the fault comes and goes, and then the books are balanced. */
async function suffer ({ name, strike, unable }) {
  const reason = await unable?.(site)
  if (reason !== undefined) return { fault: name, skipped: reason }
  say(name)
  await site.startGateway()
  const crowd = new Crowd({ url: site.url, token: await site.token(), size: CALLERS, name: name.replaceAll(/\W+/g, '-') })
  await crowd.open()
  const running = crowd.run()
  let effect
  try {
    effect = await strike(site, crowd)
  } finally {
    await crowd.stop()
    await running
  }
  await site.startGateway()
  await settled(site)
  return { fault: name, effect, ...await balance(site, crowd) }
}

function readOptions () {
  try {
    const { values } = parseArgs({ options: { kills: { type: 'string', default: '10' }, durability: { type: 'string', default: 'fsync' }, seed: { type: 'string', default: String(Date.now() % 1e6) }, json: { type: 'boolean', default: false }, 'no-build': { type: 'boolean', default: false } } })
    if (!/^[1-9]\d?$/.test(values.kills)) throw new Error(`--kills ${values.kills}: expected a number from 1 to 99`)
    if (!/^\d{1,9}$/.test(values.seed)) throw new Error(`--seed ${values.seed}: expected a number`)
    if (!['fsync', 'os', 'database'].includes(values.durability)) throw new Error(`--durability ${values.durability}: expected fsync, os or database`)
    return { kills: Number(values.kills), durability: values.durability, seed: Number(values.seed), json: values.json, build: !values['no-build'] }
  } catch (error) {
    say(error.message)
    process.exit(2)
  }
}

function say (line) {
  process.stderr.write(`${(performance.now() / 1000).toFixed(1).padStart(6)}  ${line}\n`)
}
