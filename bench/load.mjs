#!/usr/bin/env node
// The load generator: so many connections, each sends its next call when the answer to the last is in (closed loop).
// Every connection has a session of its own and counts its calls from 1, so ids overlap on purpose.
//
//   node bench/load.mjs --url http://127.0.0.1:8080/mcp/echo --token TOKEN --connections 16 --seconds 5
//
// Prints one JSON line. --pid and --database name whose CPU and memory to watch; --enough ends the run early, after so many answers; --think waits so many ms before the next call. Exits 1 when an answer was wrong or missing, 2 when it had to be stopped by force.
import { parseArgs } from 'node:util'

import { Connection } from './connection.mjs'
import { speak } from './dialect.mjs'
import { Latencies } from './latency.mjs'
import { tag } from './payload.mjs'
import { cpuOf, machine, measurable, memory, sample, spent } from './processes.mjs'
import { answerCheck, resultOf } from './verify.mjs'

const longestSeconds = 15
const longestWarmUp = 5
const hardStopMs = 45_000
const mostErrors = 200
const graceMs = 2_000

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    era: { type: 'string', default: 'legacy' },
    token: { type: 'string' },
    connections: { type: 'string', default: '16' },
    seconds: { type: 'string', default: '5' },
    'warm-up': { type: 'string', default: '0.5' },
    pad: { type: 'string' },
    enough: { type: 'string' },
    think: { type: 'string' },
    pid: { type: 'string' },
    database: { type: 'string' },
  },
})

const options = {
  url: new URL(values.url),
  era: values.era,
  token: values.token,
  connections: Number(values.connections),
  seconds: Math.min(Number(values.seconds), longestSeconds),
  warmUp: Math.min(Number(values['warm-up']), longestWarmUp),
  pad: values.pad === undefined ? undefined : Number(values.pad),
  enough: Number(values.enough ?? Infinity),
  think: Number(values.think ?? 0),
  watched: values.pid === undefined ? undefined : { root: Number(values.pid), database: values.database },
}

setTimeout(() => { process.stderr.write('load: stopped by force\n'); process.exit(2) }, hardStopMs).unref()
const result = await run(options)
process.stdout.write(JSON.stringify(result) + '\n')
process.exit(result.errors === 0 && result.calls > 0 ? 0 : 1)

async function run ({ url, era, token, connections, seconds, warmUp, pad, enough, think, watched }) {
  const dialect = speak({ era, url, token, pad })
  const tally = { sent: 0, right: 0, errors: 0, reasons: {}, calls: 0, bytes: 0, latencies: new Latencies(), from: Infinity, to: Infinity, think, stopping: false }
  const clients = Array.from({ length: connections }, (_, index) => ({ index, connection: new Connection(url), sequence: 0 }))
  await Promise.all(clients.map((client) => connect(client, dialect).catch((error) => blame(tally, `no session: ${error.message}`))))
  if (tally.errors > 0) return report(tally, undefined)

  const bill = openBill(watched)
  const start = performance.now()
  tally.from = start + warmUp * 1000
  tally.to = tally.from + seconds * 1000
  const check = answerCheck(pad)
  for (const client of clients) next(client, dialect, check, tally)
  while (performance.now() < tally.to && tally.right < enough) await sleep(Math.min(50, tally.to - performance.now()))
  tally.stopping = true
  const measured = (Math.min(performance.now(), tally.to) - tally.from) / 1000
  await allAnswered(clients, tally)
  await bill.close(tally.right)
  await Promise.race([Promise.all(clients.map((client) => leave(client, dialect))), sleep(500)])
  return report(tally, { seconds: measured, ...bill })
}

async function connect (client, dialect) {
  await client.connection.open()
  if (dialect.handshake) {
    const answer = await client.connection.ask(dialect.initialize())
    const version = resultOf(answer)?.protocolVersion
    if (answer.status !== 200 || version === undefined) throw new Error(`HTTP ${answer.status}: ${answer.body.utf8Slice(0, 160)}`)
    client.opened = { session: answer.session, version }
    const { status } = await client.connection.ask(dialect.initialized(client.opened))
    if (status >= 300) throw new Error(`HTTP ${status} to notifications/initialized`)
  }
  client.headers = dialect.callHeaders(client.opened)
}

function next (client, dialect, check, tally) {
  const id = ++client.sequence
  const text = tag(client.index, id)
  const sentAt = performance.now()
  tally.sent++
  client.connection.send(dialect.call(client.headers, id, text), (error, answer) => {
    const now = performance.now()
    const fault = error === undefined ? check(answer, id, text) : error.message
    if (fault !== '') blame(tally, fault)
    else count(tally, answer, sentAt, now)
    if (tally.think === 0) goOn(client, dialect, check, tally)
    else setTimeout(goOn, tally.think, client, dialect, check, tally)
  })
}

function goOn (client, dialect, check, tally) {
  if (!tally.stopping && tally.errors < mostErrors) next(client, dialect, check, tally)
}

function count (tally, answer, sentAt, now) {
  tally.right++
  if (now < tally.from || now > tally.to) return
  tally.calls++
  tally.bytes += answer.body.length
  if (sentAt >= tally.from) tally.latencies.add((now - sentAt) * 1000)
}

function blame (tally, reason) {
  tally.errors++
  tally.reasons[reason] = (tally.reasons[reason] ?? 0) + 1
}

async function allAnswered (clients, tally) {
  const deadline = performance.now() + graceMs
  while (clients.some(({ connection }) => connection.busy) && performance.now() < deadline) await sleep(5)
  const lost = clients.filter(({ connection }) => connection.busy).length
  if (lost > 0) blame(tally, `${lost} calls never answered`)
}

async function leave ({ connection, opened }, dialect) {
  if (opened?.session !== undefined && !connection.busy) await connection.ask(dialect.goodbye(opened)).catch(() => {})
  connection.close()
}

/**
 * What the calls cost. The bill covers every call, the warm-up's too, and is closed only when the gateway has come to
 * rest: work that it puts off (records on their way to the database) is work all the same.
 */
function openBill (watched) {
  if (watched === undefined || !measurable) return { close: async () => {} }
  const before = { processes: sample(watched), machine: machine(), load: process.cpuUsage() }
  const bill = {
    async close (calls) {
      const load = process.cpuUsage(before.load)
      const busy = machine()
      const during = spent(before.processes, sample(watched))
      bill.settledMs = await rest(watched.root)
      const last = sample(watched)
      const ours = load.user + load.system + during.gateway + during.database + during.upstream
      bill.cpu = perCall({ ...spent(before.processes, last), load: load.user + load.system }, calls)
      bill.memory = memory(last)
      bill.others = Math.max(0, (busy.busy - before.machine.busy - ours) / (busy.total - before.machine.total))
    },
  }
  return bill
}

/** Waits until a process uses less than a twentieth of a core, at most 3 s; how long that took. */
async function rest (pid) {
  const start = performance.now()
  for (let last = cpuOf(pid), waited = 0; waited < 3_000; waited = performance.now() - start) {
    await sleep(100)
    const now = cpuOf(pid)
    if (now - last < 5_000) break
    last = now
  }
  return Math.round(performance.now() - start)
}

function perCall (cpu, calls) {
  return Object.fromEntries(Object.entries(cpu).map(([role, microseconds]) => [role, calls === 0 ? null : microseconds / calls]))
}

function report (tally, measured) {
  const { sent, right, errors, reasons, calls, bytes } = tally
  if (measured === undefined) return { calls: 0, sent, right, errors, reasons }
  const { seconds, cpu = null, memory: used = null, others = null, settledMs = 0 } = measured
  return { calls, sent, right, errors, reasons, throughput: calls / seconds, bytesPerSecond: bytes / seconds, latency: tally.latencies.summary(), cpu, memory: used, others, settledMs }
}

function sleep (ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms) })
}
