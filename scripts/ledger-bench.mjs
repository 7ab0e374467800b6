#!/usr/bin/env node
// What the ledger costs: recording, shipping, verifying, storing, searching. See docs/performance.md.
//
//   npm run bench:ledger -- [--part calls,shipping,verify,storage,search] [--rows n] [--json] [--no-build]
//
// Exit code: 0 when nothing was wrong, 1 when something was, 2 when the command line is wrong. Whether verification is as fast as it should be stands in the report.
import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { measureCalls } from '../bench/ledger/calls.mjs'
import { describe } from '../bench/ledger/report.mjs'
import { measureSearch } from '../bench/ledger/searching.mjs'
import { measureShipping } from '../bench/ledger/shipping.mjs'
import { measureStorage } from '../bench/ledger/storage.mjs'
import { measureVerifying } from '../bench/ledger/verifying.mjs'

const VERIFIED = 200_000

const parts = {
  calls: async () => await measureCalls(say, interrupted.signal),
  shipping: async () => await measureShipping(say),
  verify: async () => await measureVerifying(VERIFIED, say),
  storage: async () => await measureStorage(say),
  search: async () => await measureSearch(options.rows, say),
}

const options = readOptions()
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { interrupted.abort(); process.exit(130) })
if (options.build && spawnSync(process.execPath, [fileURLToPath(new URL('./build.mjs', import.meta.url))], { stdio: ['ignore', 2, 2] }).status !== 0) {
  say('the build failed, so there is nothing to measure')
  process.exit(1)
}
const report = { node: process.version, cores: cpus().length, cpu: cpus()[0]?.model ?? null, parts: {} }
for (const part of options.parts) {
  say(part)
  report.parts[part] = await parts[part]().catch((error) => ({ faults: [error.message] }))
}
report.faults = Object.entries(report.parts).flatMap(([part, { faults = [] }]) => faults.map((fault) => `${part}: ${fault}`))
process.stdout.write(options.json ? `${JSON.stringify(report, undefined, 2)}\n` : `${describe(report).join('\n')}\n`)
process.exitCode = report.faults.length === 0 ? 0 : 1

function readOptions () {
  try {
    const { values } = parseArgs({ options: { part: { type: 'string' }, rows: { type: 'string', default: '1000000' }, json: { type: 'boolean', default: false }, 'no-build': { type: 'boolean', default: false } } })
    const chosen = values.part === undefined ? Object.keys(parts) : values.part.split(',')
    const stranger = chosen.find((part) => !Object.hasOwn(parts, part))
    if (stranger !== undefined) throw new Error(`--part ${stranger}: expected some of ${Object.keys(parts).join(', ')}`)
    if (!/^[1-9]\d{4,7}$/.test(values.rows)) throw new Error(`--rows ${values.rows}: expected a number from 10000 to 99999999`)
    return { parts: chosen, rows: Number(values.rows), json: values.json, build: !values['no-build'] }
  } catch (error) {
    say(error.message)
    process.exit(2)
  }
}

function say (line) {
  process.stderr.write(`${(performance.now() / 1000).toFixed(1).padStart(6)}  ${line}\n`)
}
