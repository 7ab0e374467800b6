#!/usr/bin/env node
// What a sandboxed upstream costs beside a plain child: start, round trip, memory. After `npm run build`: node bench/sandbox.mjs
import { once } from 'node:events'
import { createInterface } from 'node:readline'

import { openSandbox } from '../dist/src/sandbox/sandbox.js'
import { descendantsOf, usageOf } from '../dist/src/sandbox/processes.js'

const rounds = 40
const trips = 2_000
const MiB = 1024 * 1024
const limits = { read: [], write: [], network: 'none', memory: 512 * MiB, processes: 64, fileSize: 256 * MiB, openFiles: 1024, tmp: 64 * MiB }
const backends = {
  plain: openSandbox('none', { allowUnsandboxed: true }),
  'in a cell': openSandbox('bubblewrap', { allowUnsandboxed: false }),
}

const tested = await backends['in a cell'].selfTest()
if (!tested.ok) {
  console.error(`${tested.reason} ${tested.hint}`)
  process.exit(1)
}
await starts('true', ['true'])
await starts('node -e 0', ['node', '-e', '0'])
await roundTrips()
await memory()

function open (backend, command) {
  const mode = backends[backend].name
  return backends[backend].spawn({ upstream: 'bench', command, directory: process.cwd(), env: {}, sandbox: { ...limits, mode }, protect: [] })
}

/** Interleaved, so that whatever else the machine does falls on both alike. */
async function starts (name, command) {
  const times = { plain: [], 'in a cell': [] }
  for (let round = 0; round < rounds; round++) {
    for (const backend of Object.keys(times)) times[backend].push(await timed(async () => await finished(await open(backend, command))))
  }
  for (const [backend, values] of Object.entries(times)) say(`start to end, ${name}, ${backend}`, values)
}

async function finished (cell) {
  cell.stdin.end()
  cell.stdout.resume()
  cell.stderr.resume()
  return await cell.exited
}

async function roundTrips () {
  for (const backend of Object.keys(backends)) {
    const cell = await open(backend, ['node', '-e', 'process.stdin.pipe(process.stdout)'])
    const lines = createInterface({ input: cell.stdout })
    const times = []
    for (let trip = 0; trip < trips; trip++) {
      times.push(await timed(async () => {
        cell.stdin.write('{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        await once(lines, 'line')
      }))
    }
    say(`round trip, ${backend}`, times)
    cell.kill()
    await cell.exited
  }
}

async function memory () {
  const cell = await open('in a cell', ['cat'])
  cell.stdin.write('up\n')
  await once(cell.stdout, 'data')
  const [all, inside] = [usageOf([cell.pid, ...descendantsOf(cell.pid)]), await cell.usage()]
  console.log(`bubblewrap itself: ${all.processes - inside.processes} processes, ${((all.rssBytes - inside.rssBytes) / MiB).toFixed(2)} MiB`)
  cell.kill()
  await cell.exited
}

async function timed (work) {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

function say (name, values) {
  const sorted = values.toSorted((left, right) => left - right)
  console.log(`${name.padEnd(36)} min ${sorted[0].toFixed(2)} ms, median ${sorted[sorted.length >> 1].toFixed(2)} ms`)
}
