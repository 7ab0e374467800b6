#!/usr/bin/env node
// What a sandboxed upstream costs beside a plain child: start to first answer, round trip, memory beyond the server's own,
// and what is left of a processor to a server that stands back.
// Both take turns within every round, so that whatever else the machine does falls on both alike.
//
//   npm run build && node bench/sandbox.mjs [--quick]
//
// Exit code: 0 when every target is met, 1 when one is missed.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { descendantsOf } from '../dist/src/sandbox/processes.js'
import { openSandbox } from '../dist/src/sandbox/sandbox.js'

const { quick } = parseArgs({ options: { quick: { type: 'boolean', default: false } } }).values
const plan = quick ? { starts: 5, blocks: 6, trips: 200, cells: 4 } : { starts: 40, blocks: 60, trips: 500, cells: 20 }
const MiB = 1024 * 1024
const limits = { read: [], write: [], network: 'none', memory: 512 * MiB, processes: 64, fileSize: 256 * MiB, openFiles: 1024, tmp: 64 * MiB, nice: 0 }
const sandboxes = { plain: openSandbox('none', { allowUnsandboxed: true }), cell: openSandbox('bubblewrap', { allowUnsandboxed: false }) }
const initialize = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}\n'
const commands = {
  'a small program (cat)': ['cat'],
  'an empty Node server': ['node', '-e', 'process.stdin.pipe(process.stdout)'],
  'server-everything': ['npx', '-y', '@modelcontextprotocol/server-everything'],
}

const tested = await sandboxes.cell.selfTest()
if (!tested.ok) {
  console.error(`${tested.reason} ${tested.hint}`)
  process.exit(1)
}
for (const [name, command] of Object.entries(commands)) await starts(name, command)
const targets = [
  { what: 'round trip, in a cell ÷ plain', value: await roundTrips(), atMost: 1.1, unit: '×' },
  { what: 'memory of one cell beyond its server', value: await memory(), atMost: 2, unit: ' MiB' },
]
await shares()
for (const { what, value, atMost, unit } of targets) console.log(`${value <= atMost ? 'met   ' : 'MISSED'}  ${what}: ${value.toFixed(2)}${unit} (at most ${atMost}${unit})`)
process.exitCode = targets.every(({ value, atMost }) => value <= atMost) ? 0 : 1

/** From nothing to the first line of the answer. */
async function starts (name, command) {
  const times = { plain: [], cell: [] }
  for (let round = 0; round < plan.starts; round++) {
    for (const mode of turns(round)) {
      const begun = performance.now()
      const server = await open(mode, command)
      await server.ask()
      times[mode].push(performance.now() - begun)
      await server.end()
    }
  }
  say(`start to first answer, ${name}`, times, 'ms', 1)
}

/** Blocks of one and the other in turn; the median over all blocks of what a trip took, and of the ratio of neighbours. */
async function roundTrips () {
  const servers = { plain: await open('plain', commands['an empty Node server']), cell: await open('cell', commands['an empty Node server']) }
  const times = { plain: [], cell: [] }
  for (let block = -2; block < plan.blocks; block++) { // the first two warm up
    for (const mode of turns(block)) {
      const begun = performance.now()
      for (let trip = 0; trip < plan.trips; trip++) await servers[mode].ask()
      if (block >= 0) times[mode].push((performance.now() - begun) * 1000 / plan.trips)
    }
  }
  for (const server of Object.values(servers)) await server.end()
  say('round trip of a line', times, 'µs', 0)
  return median(times.cell.map((cell, block) => cell / times.plain[block]))
}

/**
 * What bubblewrap's own processes take (proportional set size: pages that several share count in part), and what this
 * process, which stands for the gateway, has more for each cell than for each plain child.
 */
async function memory () {
  const own = { plain: [], cell: [] }
  const wrapped = []
  for (const mode of ['plain', 'cell', 'plain', 'cell']) { // the first two warm up
    globalThis.gc?.()
    const before = process.memoryUsage.rss()
    const open_ = await Promise.all(Array.from({ length: plan.cells }, async () => await open(mode, ['cat'])))
    for (const server of open_) await server.ask()
    own[mode].push((process.memoryUsage.rss() - before) / plan.cells / MiB)
    if (mode === 'cell') wrapped.push(open_.reduce((sum, { cell }) => sum + [cell.pid, ...descendantsOf(cell.pid)].filter(isBubblewrap).reduce((pss, pid) => pss + pssOf(pid), 0), 0) / plan.cells / MiB)
    for (const server of open_) await server.end()
  }
  const [bubblewrap, gateway] = [wrapped[1], Math.max(0, own.cell[1] - own.plain[1])]
  console.log(`memory of one cell beyond its server: bubblewrap ${bubblewrap.toFixed(2)} MiB, gateway ${gateway.toFixed(2)} MiB (${plan.cells} cells at once)`)
  return bubblewrap + gateway
}

/** Two that want the same processor, one with `nice: 10`: the seconds each was given of it. */
async function shares () {
  const processor = /^Cpus_allowed_list:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]
  const hog = ['taskset', '-c', processor, 'sh', '-c', 'while :; do :; done']
  const cells = await Promise.all([0, 10].map(async (nice) => (await open('cell', hog, { nice })).cell))
  await sleep(2_000) // until each runs, and its session was told
  const before = await Promise.all(cells.map((cell) => cell.usage()))
  await sleep(quick ? 2_000 : 10_000)
  const after = await Promise.all(cells.map((cell) => cell.usage()))
  const [first, back] = after.map(({ cpuSeconds }, index) => cpuSeconds - before[index].cpuSeconds)
  console.log(`one processor that two servers want: ${first.toFixed(2)} s for nice 0, ${back.toFixed(2)} s for nice 10`)
  for (const cell of cells) cell.kill()
  await Promise.all(cells.map((cell) => cell.exited))
}

async function open (mode, command, more = {}) {
  const sandbox = sandboxes[mode]
  const cell = await sandbox.spawn({ upstream: 'bench', command, directory: process.cwd(), env: {}, sandbox: { ...limits, ...more, mode: sandbox.name }, protect: [] })
  cell.stderr.resume()
  const lines = createInterface({ input: cell.stdout })
  return {
    cell,
    ask: async () => {
      cell.stdin.write(initialize)
      await once(lines, 'line')
    },
    end: async () => {
      cell.kill()
      await cell.exited
    },
  }
}

/** Who goes first changes with every round. */
function turns (round) {
  return round % 2 === 0 ? ['plain', 'cell'] : ['cell', 'plain']
}

function isBubblewrap (pid) {
  return readFileSync(`/proc/${pid}/comm`, 'utf8') === 'bwrap\n'
}

function pssOf (pid) {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]) * 1024
}

function median (values) {
  return values.toSorted((left, right) => left - right)[values.length >> 1]
}

function say (name, { plain, cell }, unit, digits) {
  const figures = [plain, cell].map((values) => `${median(values).toFixed(digits)} (least ${Math.min(...values).toFixed(digits)}) ${unit}`)
  console.log(`${name}: plain ${figures[0]}, in a cell ${figures[1]}, ${(median(cell) / median(plain)).toFixed(2)}×`)
}
