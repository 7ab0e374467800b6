// The least that can call a stdio server: what a call costs with nothing in between. One call at a time, every answer verified.
import { spawn } from 'node:child_process'

import { Latencies } from './latency.mjs'
import { tag } from './payload.mjs'
import { answerCheck } from './verify.mjs'

const longestMs = 20_000
const versions = { legacy: '2025-11-25', modern: '2026-07-28' }
const envelope = { 'io.modelcontextprotocol/protocolVersion': versions.modern, 'io.modelcontextprotocol/clientCapabilities': {} }

/** Calls the server `command` (argv) in its era for so many seconds. Gives { calls, latency, reasons } as load.mjs does. */
export async function callDirectly (command, { era, pad, seconds, warmUp }) {
  const child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'], timeout: longestMs, killSignal: 'SIGKILL' })
  const ask = asking(child)
  try {
    if (era === 'legacy') await ask(0, 'initialize', { protocolVersion: versions.legacy, capabilities: {}, clientInfo: { name: 'portcullis-bench', version: '1' } })
    return await callFor(ask, { era, pad, seconds, warmUp })
  } finally {
    child.kill('SIGKILL')
  }
}

async function callFor (ask, { era, pad, seconds, warmUp }) {
  const check = answerCheck(pad)
  const latencies = new Latencies()
  const reasons = {}
  const from = performance.now() + warmUp * 1000
  let calls = 0
  for (let id = 1; performance.now() < from + seconds * 1000; id++) {
    const text = tag(0, id)
    const sentAt = performance.now()
    const body = await ask(id, 'tools/call', { name: 'echo', arguments: { text, pad }, ...(era === 'modern' ? { _meta: envelope } : {}) })
    const now = performance.now()
    const fault = check({ status: 200, type: 'application/json', body }, id, text)
    if (fault !== '') reasons[fault] = (reasons[fault] ?? 0) + 1
    if (sentAt < from) continue
    calls++
    latencies.add((now - sentAt) * 1000)
  }
  return { calls, latency: latencies.summary(), reasons }
}

/** A function that sends one request and resolves to the line that comes back. */
function asking (child) {
  let pieces = []
  let waiting
  child.stdout.on('data', (chunk) => {
    pieces.push(chunk)
    if (chunk[chunk.length - 1] !== 10) return
    const line = pieces.length === 1 ? chunk : Buffer.concat(pieces)
    pieces = []
    waiting?.resolve(line)
  })
  child.once('exit', () => waiting?.reject(new Error('the server has ended')))
  return async (id, method, params) => await new Promise((resolve, reject) => {
    waiting = { resolve, reject }
    child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
  })
}
