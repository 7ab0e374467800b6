// What stands between a client and its server costs: each call through Portcullis, as a ratio to the same call to the
// same server with nothing in between. In turns, so that a change of the machine's mood falls on both.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { median } from './latency.mjs'
import { measurable } from './processes.mjs'
import { runLoad } from './rounds.mjs'
import { callDirectly } from './stdio-client.mjs'

const echo = fileURLToPath(new URL('./servers/stdio-echo.mjs', import.meta.url))

/** Servers of one era each, so that nothing but a bridge leads from one to the other. */
export const servers = { legacy: [process.execPath, echo, 'legacy'], modern: [process.execPath, echo, 'modern'] }

const kib = 1024

/** Client's era, server's era, bytes that come back. */
export const cases = [
  { name: 'session era', client: 'legacy', server: 'legacy' },
  { name: '2026-07-28', client: 'modern', server: 'modern' },
  { name: 'bridged: 2026-07-28 to session era', client: 'modern', server: 'legacy' },
  { name: 'bridged: session era to 2026-07-28', client: 'legacy', server: 'modern' },
  { name: '100 KiB, session era', client: 'legacy', server: 'legacy', pad: 100 * kib },
  { name: '100 KiB, 2026-07-28', client: 'modern', server: 'modern', pad: 100 * kib },
  { name: '10 MiB, session era', client: 'legacy', server: 'legacy', pad: 10 * kib * kib },
  { name: '10 MiB, 2026-07-28', client: 'modern', server: 'modern', pad: 10 * kib * kib },
  { name: '10 MiB, bridged to session era', client: 'modern', server: 'legacy', pad: 10 * kib * kib },
]

/**
 * Measures every case in turns on a gateway from startGateway. Gives { sent, rows } with rows as { name, direct, through,
 * ratio, growth, faults }: p50 in µs of one call at a time, and by how many MiB the gateway's memory rose at most in a round.
 */
export async function compareEras (gateway, { rounds, seconds, warmUp }, say, signal) {
  const found = cases.map(() => ({ direct: [], through: [], growth: [], faults: [] }))
  let sent = 0
  for (let round = 0; round < rounds; round++) {
    for (const [index, { name, client, server, pad }] of cases.entries()) {
      const direct = await callDirectly(servers[server], { era: server, pad, seconds, warmUp })
      const peak = watchPeak(gateway.pid)
      const url = gateway.url.replace(/[^/]+$/, server)
      const through = await runLoad({ ...gateway, url }, { era: client, connections: 1, pad, seconds, warmUp }, signal)
      sent += through.sent
      found[index].direct.push(direct.latency?.p50 ?? NaN)
      found[index].through.push(through.latency?.p50 ?? NaN)
      found[index].growth.push(peak())
      found[index].faults.push(...Object.keys(direct.reasons), ...Object.keys(through.reasons))
      say(`round ${round + 1}, ${name}: ${direct.latency?.p50} µs directly, ${through.latency?.p50} µs through`)
    }
  }
  const rows = found.map(({ direct, through, growth, faults }, index) => ({
    name: cases[index].name, direct: median(direct), through: median(through), ratio: median(through.map((value, round) => value / direct[round])), growth: Math.max(...growth), faults,
  }))
  return { sent, rows }
}

/** Starts the kernel's high-water mark anew; the function tells by how many MiB memory has risen since, at its highest. */
function watchPeak (pid) {
  if (!measurable) return () => NaN
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
  const before = memoryOf(pid, 'VmRSS')
  return () => memoryOf(pid, 'VmHWM') - before
}

function memoryOf (pid, field) {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}
